// Reading a store of maps and a prediction store: names, halos, and the maps of one halo along all lines of sight.
import { FetchStore, get, open, root, registry, zstdDecompress } from "./vendor/zarrita.js";

const SPLITS = ["train", "validation", "test"];
const KEY = ["simulation", "region", "snapshot", "halo_id"];

// Blosc 1 frames, as https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst describes them: the library's
// WebAssembly build is ten times this whole page.
class Blosc {
  kind = "bytes_to_bytes";
  static fromConfig() {
    return new Blosc();
  }
  decode(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const [flags, typesize] = [bytes[2], bytes[3]];
    const [size, blocksize] = [view.getUint32(4, true), view.getUint32(8, true)];
    if (flags & 2) return bytes.slice(16, 16 + size);
    if (flags >> 5 !== 4) throw new Error("this page reads blosc frames of zstd alone");
    const out = new Uint8Array(size);
    for (let block = 0; block * blocksize < size; block++) {
      const begin = block * blocksize;
      const length = Math.min(blocksize, size - begin);
      const split = !(flags & 16) && typesize <= 16 && blocksize / typesize >= 128 && length === blocksize;
      const parts = split ? typesize : 1;
      const part = length / parts;
      const plain = new Uint8Array(length);
      let place = view.getUint32(16 + 4 * block, true);
      for (let k = 0; k < parts; k++) {
        const packed = view.getInt32(place, true);
        const data = bytes.subarray(place + 4, place + 4 + packed);
        plain.set(packed === part ? data : zstdDecompress(data), k * part);
        place += 4 + packed;
      }
      out.set(flags & 4 ? bitUnshuffle(plain, typesize) : flags & 1 ? unshuffle(plain, typesize) : plain, begin);
    }
    return out;
  }
}

function unshuffle(bytes, typesize) {
  const out = new Uint8Array(bytes);
  const n = Math.floor(bytes.length / typesize);
  for (let b = 0; b < typesize; b++) for (let i = 0; i < n; i++) out[i * typesize + b] = bytes[b * n + i];
  return out;
}

function bitUnshuffle(bytes, typesize) {
  const n = Math.floor(bytes.length / typesize);
  if (n % 8) return bytes;
  const out = new Uint8Array(bytes);
  const row = n / 8;
  out.fill(0, 0, n * typesize);
  for (let b = 0; b < typesize; b++) {
    for (let k = 0; k < 8; k++) {
      const first = (b * 8 + k) * row;
      for (let i = 0; i < row; i++) {
        const eight = bytes[first + i];
        if (eight) for (let j = 0; j < 8; j++) out[(i * 8 + j) * typesize + b] |= ((eight >> j) & 1) << k;
      }
    }
  }
  return out;
}

class Zstd {
  kind = "bytes_to_bytes";
  static fromConfig() {
    return new Zstd();
  }
  decode(bytes) {
    return zstdDecompress(bytes);
  }
}

// The library's codec drops the checksum; a damaged chunk must not be shown.
const CRC32C = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let k = 0; k < 8; k++) byte = byte & 1 ? (byte >>> 1) ^ 0x82f63b78 : byte >>> 1;
  return byte;
});

class Crc32c {
  kind = "bytes_to_bytes";
  static fromConfig() {
    return new Crc32c();
  }
  computeEncodedSize(size) {
    return size + 4;
  }
  decode(bytes) {
    const data = bytes.subarray(0, bytes.length - 4);
    let crc = ~0;
    for (const byte of data) crc = CRC32C[(crc ^ byte) & 255] ^ (crc >>> 8);
    const said = new DataView(bytes.buffer, bytes.byteOffset + data.length, 4).getUint32(0, true);
    if (~crc >>> 0 !== said) throw new Error("a chunk is damaged: its checksum is wrong");
    return data;
  }
}
registry.set("blosc", () => Blosc).set("zstd", () => Zstd).set("crc32c", () => Crc32c);

// A host without range requests sends the whole file: take the part that was asked for.
async function fetchPart(request) {
  const response = await fetch(request);
  const range = (request.headers.get("Range") || "").match(/^bytes=(\d+)-(\d+)$/);
  if (!range || response.status !== 200) return response;
  return new Response((await response.arrayBuffer()).slice(Number(range[1]), Number(range[2]) + 1), { status: 206 });
}
const connect = (address) => root(new FetchStore(storeUrl(address), { fetch: fetchPart }));

// hf://datasets/org/name/path is the file of that name on the Hub.
export function storeUrl(address) {
  const hub = address.match(/^hf:\/\/datasets\/([^/]+\/[^/@]+)(?:@([^/]+))?\/(.+)$/);
  const url = hub ? `https://huggingface.co/datasets/${hub[1]}/resolve/${hub[2] || "main"}/${hub[3]}` : address;
  return new URL(url.replace(/\/+$/, ""), document.baseURI).href;
}

async function column(group, name) {
  const array = await open.v3(group.resolve(name), { kind: "array" });
  const values = array.shape.some((n) => n === 0) ? [] : Array.from((await get(array)).data, (v) => (typeof v === "bigint" ? String(v) : v));
  const names = (array.attrs.flag_meanings || "").split(" ").filter(Boolean);
  if (!names.length) return values;
  const codes = Array.from(array.attrs.flag_values || names.keys());
  return values.map((code) => names[codes.indexOf(Number(code))]);
}

export class MapStore {
  static async open(address) {
    const store = new MapStore();
    store.root = connect(address);
    const group = await open.v3(store.root, { kind: "group" });
    store.attrs = group.attrs;
    if (!Array.isArray(store.attrs.views)) throw new Error(`${address} is not a store of maps`);
    store.splits = {};
    const wanted = [...KEY, "redshift", "M200c", "R200c", "R500c", "c200c", "f_gas_500", "f_star_500", "relaxed"];
    for (const split of SPLITS) {
      const part = store.root.resolve(split);
      const columns = await Promise.all(wanted.map((name) => column(part, name)));
      const halos = columns[0].map((_, row) => Object.fromEntries(wanted.map((name, i) => [name, columns[i][row]])));
      halos.forEach((halo, row) => Object.assign(halo, { split, row, ...haloNames(KEY.map((name) => halo[name])) }));
      if (halos.length) store.splits[split] = halos;
    }
    return store;
  }

  // {view: {data, shape: [los, y, x], attrs}} of one halo.
  async maps(halo, views) {
    const read = views.map(async (view) => {
      const array = await open.v3(this.root.resolve(`${halo.split}/${view}`), { kind: "array" });
      const { data, shape } = await get(array, [halo.row, null, null, null]);
      return [view, { data, shape, attrs: array.attrs }];
    });
    return Object.fromEntries(await Promise.all(read));
  }
}

// A halo's key, and its part within one simulation: simulations of the same regions share the latter.
const haloNames = (values) => ({ key: values.join(":"), name: values.slice(1).join(":") });

export class Predictions {
  static async open(address) {
    const predictions = new Predictions();
    predictions.root = connect(address);
    predictions.array = await open.v3(predictions.root.resolve("mass"), { kind: "array" });
    const given = (name) => column(predictions.root, name);
    const [simulations, ...columns] = await Promise.all([given(KEY[0]).catch(() => null), ...KEY.slice(1).map(given)]);
    predictions.by = simulations ? "key" : "name"; // a submission may leave the simulation out
    const rows = columns[0].map((_, row) => haloNames([simulations?.[row], ...columns.map((c) => c[row])])[predictions.by]);
    predictions.rows = new Map(rows.map((name, row) => [name, row]));
    return predictions;
  }

  async mass(halo) {
    const row = this.rows.get(halo[this.by]);
    if (row === undefined) return null;
    const { data, shape } = await get(this.array, [row, null, null, null]);
    return { data, shape, attrs: { units: "Msun kpc-2", long_name: "predicted total surface density" } };
  }
}
