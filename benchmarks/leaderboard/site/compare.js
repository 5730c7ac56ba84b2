"use strict";
(function () {
  var data = JSON.parse(document.getElementById("data").textContent);
  var byId = function (id) { return document.getElementById(id); };
  var svgNames = "http://www.w3.org/2000/svg";
  var list = function (entry, name) { return typeof entry[name] === "number" ? data[entry[name]][name] : entry[name]; };
  var first = byId("first"), second = byId("second");

  data.forEach(function (entry, place) {
    [first, second].forEach(function (box) {
      var option = document.createElement("option");
      option.value = String(place);
      option.textContent = entry.name + " (" + entry.board + ")";
      box.appendChild(option);
    });
  });

  function draws(seed) {
    // A small generator (mulberry32), seeded: the same interval at every visit.
    return function () {
      seed = (seed + 0x6D2B79F5) | 0;
      var t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }
  function difference(a, b, places) {
    // rms of a less rms of b, and its standard error by the delta method.
    var n = places.length, ma = 0, mb = 0, i, u, sum = 0;
    for (i = 0; i < n; i += 1) { ma += a[places[i]] / n; mb += b[places[i]] / n; }
    var ra = Math.sqrt(ma), rb = Math.sqrt(mb);
    for (i = 0; i < n; i += 1) {
      u = (ra ? (a[places[i]] - ma) / (2 * ra) : 0) - (rb ? (b[places[i]] - mb) / (2 * rb) : 0);
      sum += u * u;
    }
    return [ra - rb, Math.sqrt(sum / (n * (n - 1)))];
  }
  function paired(a, b, tail) {
    // `tail`: the share beyond each end, which is expanded for few regions; null for too few.
    var n = a.length, here = [], next = draws(300), t = [], i, k, place, found;
    for (i = 0; i < n; i += 1) { here.push(i); }
    var point = difference(a, b, here);
    if (tail === null) { return [point[0], null, null]; }
    for (k = 0; k < 1000; k += 1) {
      place = [];
      for (i = 0; i < n; i += 1) { place.push(Math.floor(next() * n)); }
      found = difference(a, b, place);
      if (found[1] > 0) { t.push((found[0] - point[0]) / found[1]); }
    }
    if (t.length < 500) { return [point[0], point[0], point[0]]; }
    t.sort(function (x, y) { return x - y; });
    var at = function (q) {
      var low = Math.floor(q * (t.length - 1)), high = Math.min(low + 1, t.length - 1);
      return t[low] + (q * (t.length - 1) - low) * (t[high] - t[low]);
    };
    return [point[0], point[0] - point[1] * at(1 - tail), point[0] - point[1] * at(tail)];
  }
  function verdict(a, b) {
    if (a === b) { return "The same submission twice."; }
    if (!list(a, "region").length || !list(b, "region").length) {
      return "The truth is held back: there are no figures of regions to compare pair by pair.";
    }
    if (a.dataset !== b.dataset || String(list(a, "region")) !== String(list(b, "region"))) {
      return "Scored on different datasets or regions: they cannot be compared pair by pair.";
    }
    var d = paired(a.mse, b.mse, a.tail), text = "Residual rms of the first less the second, paired over " + a.mse.length +
      " regions: " + d[0].toFixed(4) + " dex";
    if (d[1] === null) { return text + "; too few regions for an interval."; }
    text += " (95 % interval " + d[1].toFixed(4) + " to " + d[2].toFixed(4) + "). ";
    if (d[1] <= 0 && d[2] >= 0) { return text + "A tie."; }
    return text + (d[0] < 0 ? "The first is better." : "The second is better.");
  }
  function table(a, b) {
    Array.prototype.forEach.call(byId("scores").rows, function (row, place) {
      [a, b].forEach(function (entry, which) {
        var cell = row.cells[which + 1], interval = document.createElement("small");
        cell.textContent = entry.scores[place][0];
        interval.textContent = entry.scores[place][1];
        cell.appendChild(interval);
      });
    });
  }
  function across(k) { return 52 + Math.log(k / 0.5) / Math.log(40) * 343; }
  function draw(place, name, title, top, a, b) {
    var svg = document.createElementNS(svgNames, "svg");
    svg.setAttribute("viewBox", "0 0 400 240");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", title + " of both by wave number");
    var add = function (kind, attributes, text) {
      var part = document.createElementNS(svgNames, kind);
      Object.keys(attributes).forEach(function (key) { part.setAttribute(key, String(attributes[key])); });
      if (text) { part.textContent = text; }
      svg.appendChild(part);
    };
    [0, 0.5, 1, 1.5].filter(function (level) { return level <= top; }).forEach(function (level) {
      var y = 200 - level / top * 185;
      add("path", { "class": "grid", d: "M52 " + y + "H395" });
      add("text", { x: 46, y: y + 4, "text-anchor": "end" }, String(level));
    });
    [0.5, 1, 2, 5, 10, 20].forEach(function (k) {
      add("path", { "class": "grid", d: "M" + across(k).toFixed(1) + " 15V200" });
      add("text", { x: Math.min(across(k), 392).toFixed(1), y: 216, "text-anchor": "middle" }, String(k));
    });
    add("text", { x: 223, y: 234, "text-anchor": "middle" }, "k [cycles per R200c]");
    add("text", { transform: "translate(12 107) rotate(-90)", "text-anchor": "middle" }, title);
    [a, b].forEach(function (entry, which) {
      var k = list(entry, "k"), values = entry[name], path = "", pen = "M";
      k.forEach(function (x, i) {
        if (values[i] === null || values[i] === undefined) { pen = "M"; return; }
        var px = across(x);
        var py = 200 - Math.max(-0.02, Math.min(values[i] / top, 1.04)) * 185;
        path += pen + px.toFixed(1) + " " + py.toFixed(1);
        pen = "L";
      });
      var line = document.createElementNS(svgNames, "path");
      line.setAttribute("class", "line s" + which);
      line.setAttribute("d", path);
      svg.appendChild(line);
    });
    byId(place).textContent = "";
    byId(place).appendChild(svg);
  }
  function show() {
    var a = data[Number(first.value)], b = data[Number(second.value)];
    if (!a || !b) { return; }
    [a, b].forEach(function (entry, which) {
      byId("name" + (which + 1)).textContent = entry.name;
      byId("board" + (which + 1)).textContent = entry.board;
    });
    byId("verdict").textContent = verdict(a, b);
    table(a, b);
    draw("cross", "cross", "cross-correlation", 1.05, a, b);
    draw("ratio", "ratio", "power ratio", 1.6, a, b);
  }
  function fromHash() {
    var wanted = location.hash.slice(1).split(",");
    data.forEach(function (entry, place) {
      if (entry.slug === wanted[0]) { first.value = String(place); }
      if (entry.slug === wanted[1]) { second.value = String(place); }
    });
    // One alone is compared with the best other of its board.
    var one = data[Number(first.value)];
    var others = data.filter(function (entry) { return entry !== one && entry.board === one.board; });
    if (wanted.length < 2 && others.length) { second.value = String(data.indexOf(others[0])); }
    show();
  }
  second.value = String(Math.min(1, data.length - 1));
  first.addEventListener("change", show);
  second.addEventListener("change", show);
  window.addEventListener("hashchange", fromHash);
  fromHash();
}());
