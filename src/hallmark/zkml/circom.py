"""Circom 2 source for an integer model: what `integers.evaluate` calculates, as constraints.

Weights are constants in linear expressions, so a proof holds for these weights alone and another circuit has
another verifying key. What costs: bits of range checks, one product a ReLU, four a pooled field, 243 products
a Poseidon permutation.

Inputs: u (q - low, each), salt_in, salt_out. Public: c_in, c_out, the two commitments.

The templates keep two rules: what a `<--` guesses is held by constraints beside it, and no sum can pass half
the field, because every bound comes from `Layer.lows` and `Layer.highs`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hallmark.zkml.integers import INPUTS, OUTPUTS, WORD_BITS, IntegerModel, Integers, Layer, output_grid
from hallmark.zkml.poseidon import FULL, PARTIAL, WIDTH, parameters

TEMPLATES: Final = """\
template Bits(n) {
  signal input value;
  signal output bit[n];
  var sum = 0;
  for (var i = 0; i < n; i++) {
    bit[i] <-- (value >> i) & 1;
    bit[i] * (bit[i] - 1) === 0;
    sum += bit[i] * (1 << i);
  }
  sum === value;
}
// -2^n <= value < 2^n; out = max(0, value) >> drop
template ReluShift(n, drop) {
  signal input value;
  signal output out;
  component bits = Bits(n + 1);
  bits.value <== value + (1 << n);
  var kept = 0;
  for (var i = drop; i < n; i++) kept += bits.bit[i] * (1 << (i - drop));
  out <== bits.bit[n] * kept;
}
// 0 <= out < 2^n, out >= each, out is one of them or 0; `span` bits hold out - each
template PoolRelu(n, span) {
  signal input value[4];
  signal output out;
  var most = 0;
  for (var i = 0; i < 4; i++) { if (value[i] > most) { most = value[i]; } }
  out <-- most;
  component whole = Bits(n);
  whole.value <== out;
  component above[4];
  signal product[5];
  product[0] <== out;
  for (var i = 0; i < 4; i++) {
    above[i] = Bits(span);
    above[i].value <== out - value[i];
    product[i + 1] <== product[i] * (out - value[i]);
  }
  product[4] === 0;
}
template Poseidon() {
  signal input in[2];
  signal output out;
  var C[@COUNT@] = [@CONSTANTS@];
  var M[3][3] = [@MATRIX@];
  signal square[@BOXES@];
  signal fourth[@BOXES@];
  signal fifth[@BOXES@];
  var state[3] = [0, in[0], in[1]];
  var box = 0;
  for (var turn = 0; turn < @TURNS@; turn++) {
    var boxed = (turn < @HALF@ || turn >= @LAST@) ? 3 : 1;
    for (var i = 0; i < 3; i++) state[i] = state[i] + C[3 * turn + i];
    for (var i = 0; i < boxed; i++) {
      square[box] <== state[i] * state[i];
      fourth[box] <== square[box] * square[box];
      fifth[box] <== fourth[box] * state[i];
      state[i] = fifth[box];
      box++;
    }
    var mixed[3] = [0, 0, 0];
    for (var i = 0; i < 3; i++) for (var j = 0; j < 3; j++) mixed[i] += M[i][j] * state[j];
    for (var i = 0; i < 3; i++) state[i] = mixed[i];
  }
  out <== state[0];
}
template Commit(domain, count) {
  signal input salt;
  signal input word[count];
  signal output out;
  component chain[count + 1];
  chain[0] = Poseidon();
  chain[0].in[0] <== salt;
  chain[0].in[1] <== domain + 256 * count;
  for (var i = 0; i < count; i++) {
    chain[i + 1] = Poseidon();
    chain[i + 1].in[0] <== chain[i].out;
    chain[i + 1].in[1] <== word[i];
  }
  out <== chain[count].out;
}
"""


def generate(model: IntegerModel) -> str:
    """The circuit's source. The same model always gives the same bytes."""
    parts = ["pragma circom 2.0.0;\n", _templates()]
    parts += [_layer(at, layer) for at, layer in enumerate(model.layers)]
    return "".join([*parts, _main(model)])


def _templates() -> str:
    constants, matrix = parameters()
    values = {
        "COUNT": len(constants),
        "CONSTANTS": _joined(constants),
        "MATRIX": ",".join(f"[{_joined(row)}]" for row in matrix),
        "BOXES": WIDTH * FULL + PARTIAL,
        "TURNS": FULL + PARTIAL,
        "HALF": FULL // 2,
        "LAST": FULL // 2 + PARTIAL,
    }
    text = TEMPLATES
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def _layer(at: int, layer: Layer) -> str:
    sums = _convolution(layer) if layer.is_conv else _dense(layer)
    outputs = layer_width(layer)
    linear = outputs * (4 if layer.pool else 1)
    source = [
        f"template Layer{at}() {{\n",
        f"  signal input in[{input_width(layer)}];\n  signal output out[{outputs}];\n",
        _array("W", layer.weights),
        _array("B", layer.bias),
        f"  signal sum[{linear}];\n",
        sums,
        _activation(layer),
        "}\n",
    ]
    return "".join(source)


def _dense(layer: Layer) -> str:
    rows, columns = layer.weights.shape
    return (
        f"  for (var o = 0; o < {rows}; o++) {{\n    var total = B[o];\n"
        f"    for (var i = 0; i < {columns}; i++) total += W[o][i] * in[i];\n    sum[o] <== total;\n  }}\n"
    )


def _convolution(layer: Layer) -> str:
    channels, height, width = layer.grid
    out, _, down, right = layer.weights.shape
    rows, columns = output_grid(layer)
    outer = _loops(("o", out), ("y", rows), ("x", columns))
    inner = _loops(("c", channels), ("i", down), ("j", right))
    return (
        f"  {outer} {{\n    var total = B[o];\n    {inner} {{\n"
        f"      var r = y + i - {layer.pad};\n      var s = x + j - {layer.pad};\n"
        f"      if (r >= 0 && r < {height} && s >= 0 && s < {width}) {{\n"
        f"        total += W[o][c][i][j] * in[(c * {height} + r) * {width} + s];\n      }}\n    }}\n"
        f"    sum[(o * {rows} + y) * {columns} + x] <== total;\n  }}\n"
    )


def _loops(*ranges: tuple[str, int]) -> str:
    return " ".join(f"for (var {name} = 0; {name} < {end}; {name}++)" for name, end in ranges)


def _activation(layer: Layer) -> str:
    outputs = layer_width(layer)
    if not layer.relu:
        return f"  for (var i = 0; i < {outputs}; i++) out[i] <== sum[i];\n"
    each = outputs // layer.weights.shape[0]
    tall = [max(1, high.bit_length()) if high > 0 else 1 for high in layer.highs]
    if layer.pool:
        rows, columns = output_grid(layer)
        span = [(max(high, 0) - low).bit_length() for low, high in zip(layer.lows, layer.highs, strict=True)]
        first = f"(o * {rows} + 2 * y) * {columns} + 2 * x"
        places = (first, f"{first} + 1", f"{first} + {columns}", f"{first} + {columns + 1}")
        wired = "".join(f"    act[k].value[{at}] <== sum[{place}];\n" for at, place in enumerate(places))
        return (
            f"{_array('N', tall)}{_array('S', span)}  component act[{outputs}];\n"
            f"  for (var k = 0; k < {outputs}; k++) {{\n    var o = k \\ {each};\n"
            f"    var y = (k % {each}) \\ {columns // 2};\n    var x = k % {columns // 2};\n"
            f"    act[k] = PoolRelu(N[o], S[o]);\n{wired}    out[k] <== act[k].out;\n  }}\n"
        )
    both = [max(n, (-low).bit_length()) for n, low in zip(tall, layer.lows, strict=True)]
    return (
        f"{_array('N', both)}  component act[{outputs}];\n"
        f"  for (var k = 0; k < {outputs}; k++) {{\n    act[k] = ReluShift(N[k \\ {each}], {layer.drop});\n"
        f"    act[k].value <== sum[k];\n    out[k] <== act[k].out;\n  }}\n"
    )


def _main(model: IntegerModel) -> str:
    count, outputs = len(model.columns), layer_width(model.layers[-1])
    lines = [
        "template Main() {",
        f"  signal input u[{count}];",
        "  signal input salt_in;",
        "  signal input salt_out;",
        "  signal output c_in;",
        "  signal output c_out;",
        _array("SIZE", [column.bits for column in model.columns]).rstrip(),
        f"  component box[{count}];",
        f"  for (var i = 0; i < {count}; i++) {{ box[i] = Bits(SIZE[i]); box[i].value <== u[i]; }}",
    ]
    for at in range(len(model.layers)):
        source = "u" if at == 0 else f"layer{at - 1}.out"
        width = input_width(model.layers[at])
        lines += [
            f"  component layer{at} = Layer{at}();",
            f"  for (var i = 0; i < {width}; i++) layer{at}.in[i] <== {source}[i];",
        ]
    last = f"layer{len(model.layers) - 1}.out"
    lines += _packing("in", INPUTS, [f"u[{i}]" for i in range(count)], [c.bits for c in model.columns])
    shifted = [f"({last}[{i}] + {model.output_offset})" for i in range(outputs)]
    lines += _packing("out", OUTPUTS, shifted, [model.output_bits] * outputs)
    return "\n".join([*lines, "}", "component main = Main();", ""])


def _packing(name: str, domain: int, values: list[str], sizes: list[int]) -> list[str]:
    words: list[list[str]] = [[]]
    used = 0
    for value, size in zip(values, sizes, strict=True):
        if used + size > WORD_BITS:
            words.append([])
            used = 0
        words[-1].append(f"{value} * {1 << used}")
        used += size
    lines = [f"  component commit_{name} = Commit({domain}, {len(words)});"]
    lines += [f"  commit_{name}.word[{at}] <== {' + '.join(word)};" for at, word in enumerate(words)]
    return [*lines, f"  commit_{name}.salt <== salt_{name};", f"  c_{name} <== commit_{name}.out;"]


def input_width(layer: Layer) -> int:
    """How many numbers a layer takes."""
    channels, height, width = layer.grid
    return channels * height * width if layer.is_conv else int(layer.weights.shape[1])


def layer_width(layer: Layer) -> int:
    """How many numbers a layer gives."""
    if not layer.is_conv:
        return int(layer.weights.shape[0])
    rows, columns = output_grid(layer)
    return int(layer.weights.shape[0]) * rows * columns // (4 if layer.pool else 1)


def _array(name: str, values: Integers | list[int]) -> str:
    nested = values if isinstance(values, list) else values.tolist()
    sizes, inner = "", nested
    while isinstance(inner, list):
        sizes += f"[{len(inner)}]"
        inner = inner[0]
    return f"  var {name}{sizes} = {str(nested).replace(' ', '')};\n"


def _joined(values: Iterable[int]) -> str:
    return ",".join(map(str, values))
