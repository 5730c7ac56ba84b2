"""One compiled primitive: add a stamp, interpolated between lattice points, to several images at once.

It is written as vector instructions of the compiler's intermediate language, because the compiler cannot
know that images and tables do not overlap and would otherwise add a float at a time. It is portable: on a
processor with shorter vectors the compiler splits them.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

_FLAGS = ("fast",)


@intrinsic(prefer_literal=True)
def add_stamp(
    typingctx: Any,
    lanes: Any,
    image: Any,
    at: Any,
    stride: Any,
    planes: Any,
    table: Any,
    corners: Any,
    shares: Any,
    row: Any,
    rows: Any,
    weights: Any,
    first_weight: Any,
) -> Any:
    """Add ``weights[first_weight + f] * stamp[r, c]`` to ``image[planes[f] + at + r * stride + c]``.

    The stamp is ``sum_k shares[k] * table[corners[k] + r * row + c]``.

    Parameters
    ----------
    lanes
        Literal int: floats handled at once; ``row`` must be a multiple of it.
    image, table, weights
        Flat float32 arrays; nothing is checked.
    at, stride
        Where the stamp's first pixel lies in an image, and the length of the image's rows.
    planes
        Tuple of ints: where each field's image begins.
    corners, shares
        Tuples of equal length: where the stamps begin in ``table`` and the share of each.
    row, rows
        Padded length and number of a stamp's rows.
    first_weight
        Index of the first field's weight.
    """
    if not isinstance(lanes, types.IntegerLiteral):
        raise TypingError("add_stamp: lanes must be a literal")
    n_lanes = lanes.literal_value
    n_fields, n_corners = len(planes), len(corners)
    signature = types.void(
        lanes, image, at, stride, planes, table, corners, shares, row, rows, weights, first_weight
    )

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        image_v, at_v, stride_v, planes_v, table_v, corners_v, shares_v = args[1:8]
        row_v, rows_v, weights_v, first_v = args[8:]
        word, single = ir.IntType(64), ir.FloatType()
        vector = ir.VectorType(single, n_lanes)

        def data(kind: Any, value: Any) -> Any:
            return context.make_array(kind)(context, builder, value).data

        def integer(kind: Any, value: Any) -> Any:
            return context.cast(builder, value, kind, types.int64)

        def splat(value: Any) -> Any:
            lane = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(word, 0))
            mask = ir.Constant(ir.VectorType(ir.IntType(32), n_lanes), [0] * n_lanes)
            return builder.shuffle_vector(lane, ir.Constant(vector, ir.Undefined), mask)

        def at_vector(base: Any, index: Any) -> Any:
            return builder.bitcast(builder.gep(base, [index]), vector.as_pointer())

        image_p, table_p, weights_p = (
            data(sig.args[1], image_v), data(sig.args[5], table_v), data(sig.args[10], weights_v)
        )  # fmt: skip
        at_v, stride_v = integer(sig.args[2], at_v), integer(sig.args[3], stride_v)
        row_v, rows_v = integer(sig.args[8], row_v), integer(sig.args[9], rows_v)
        first_v = integer(sig.args[11], first_v)
        starts = [
            builder.add(at_v, integer(sig.args[4][f], builder.extract_value(planes_v, f)))
            for f in range(n_fields)
        ]
        bases = [integer(sig.args[6][k], builder.extract_value(corners_v, k)) for k in range(n_corners)]
        mix = [splat(builder.extract_value(shares_v, k)) for k in range(n_corners)]
        weight = [
            splat(builder.load(builder.gep(weights_p, [builder.add(first_v, ir.Constant(word, f))]), align=4))
            for f in range(n_fields)
        ]
        with cgutils.for_range(builder, rows_v) as outer:
            line = builder.mul(outer.index, stride_v)
            entry = builder.mul(outer.index, row_v)
            with cgutils.for_range_slice(
                builder, ir.Constant(word, 0), row_v, ir.Constant(word, n_lanes), word
            ) as (column, _):
                shift = builder.add(entry, column)
                stamp = None
                for base, share in zip(bases, mix, strict=True):
                    part = builder.load(at_vector(table_p, builder.add(base, shift)), align=4)
                    if n_corners > 1:
                        part = builder.fmul(part, share, flags=_FLAGS)
                    stamp = part if stamp is None else builder.fadd(stamp, part, flags=_FLAGS)
                place = builder.add(line, column)
                spots = [at_vector(image_p, builder.add(start, place)) for start in starts]
                # all fields are read before any is written: they lie in different planes
                old = [builder.load(spot, align=4) for spot in spots]
                for spot, value, w in zip(spots, old, weight, strict=True):
                    added = builder.fadd(value, builder.fmul(w, stamp, flags=_FLAGS), flags=_FLAGS)
                    builder.store(added, spot, align=4)
        return context.get_dummy_value()

    return signature, generate
