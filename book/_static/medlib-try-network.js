// The network of "Try a model" in plain JavaScript: a residual network whose batch normalisations
// were folded into its convolutions. Maps are (channels, side, side) in one array, weights those of
// PyTorch in its order; a browser test holds the logits to PyTorch's.
"use strict";

const TRY_WINDOW = 4; // pixels of a side of the square that is covered; explain(window=4, stride=4)

function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

// Give each layer its part of the weights: before its biases, layer after layer.
function readNetwork({ stem, blocks, linear, weights }) {
  const values = new Float32Array(fromBase64(weights).buffer);
  let place = 0;
  const take = (count) => values.subarray(place, (place += count));
  const fill = (layer, patch) => ({
    ...layer, weights: take(layer.outputs * patch), biases: take(layer.outputs),
  });
  const convolution = (layer) => fill(layer, layer.inputs * layer.size ** 2);
  const network = {
    stem: convolution(stem),
    blocks: blocks.map((layers) => layers.map(convolution)),
    linear: fill(linear, linear.inputs),
  };
  if (place !== values.length) throw new Error(`${values.length} weights, ${place} expected`);
  return network;
}

// The numbers below the window of a convolution at each of its places, zeros beyond the edge.
function patchesOf({ channels, side, values }, { size, stride, padding }) {
  const places = Math.floor((side + 2 * padding - size) / stride) + 1;
  const patches = new Float32Array(places ** 2 * channels * size ** 2);
  let at = 0;
  for (let y = -padding; y < places * stride - padding; y += stride) {
    for (let x = -padding; x < places * stride - padding; x += stride) {
      for (let channel = 0; channel < channels; channel += 1) {
        for (let row = y; row < y + size; row += 1) {
          for (let column = x; column < x + size; column += 1, at += 1) {
            const inside = row >= 0 && row < side && column >= 0 && column < side;
            if (inside) patches[at] = values[(channel * side + row) * side + column];
          }
        }
      }
    }
  }
  return { places, patches };
}

// Four outputs at a time: each number of a patch is read once for four sums, which is a third faster.
function convolve(map, layer) {
  const { places, patches } = patchesOf(map, layer);
  const { outputs, weights, biases } = layer;
  const length = weights.length / outputs;
  const area = places ** 2;
  const values = new Float32Array(outputs * area);
  for (let output = 0; output < outputs; output += 4) {
    const [one, two, three, four] = [0, 1, 2, 3].map((k) => weights.subarray((output + k) * length, (output + k + 1) * length));
    for (let place = 0; place < area; place += 1) {
      let a = biases[output];
      let b = biases[output + 1];
      let c = biases[output + 2];
      let d = biases[output + 3];
      for (let i = 0, at = place * length; i < length; i += 1, at += 1) {
        const value = patches[at];
        a += one[i] * value;
        b += two[i] * value;
        c += three[i] * value;
        d += four[i] * value;
      }
      const at = output * area + place;
      values[at] = a;
      values[at + area] = b;
      values[at + 2 * area] = c;
      values[at + 3 * area] = d;
    }
  }
  return { channels: outputs, side: places, values };
}

function rectify(map) {
  return { ...map, values: map.values.map((value) => Math.max(value, 0)) };
}

function residualBlock(map, [first, second, projection]) {
  const shortcut = projection ? convolve(map, projection) : map;
  const sum = convolve(rectify(convolve(map, first)), second);
  sum.values.forEach((value, i) => { sum.values[i] = value + shortcut.values[i]; });
  return rectify(sum);
}

// What the network takes: intensities from -1 to 1.
function inputOf(pixels) {
  return { channels: 1, side: Math.sqrt(pixels.length), values: Float32Array.from(pixels, (p) => (2 * p) / 255 - 1) };
}

// The logits of an input, one for each class.
function logitsOf({ stem, blocks, linear }, input) {
  const { channels, values } = blocks.reduce(residualBlock, rectify(convolve(input, stem)));
  const area = values.length / channels;
  const means = Array.from({ length: channels }, (_, channel) =>
    values.subarray(channel * area, (channel + 1) * area).reduce((sum, value) => sum + value, 0) / area);
  return Array.from(linear.biases, (bias, output) =>
    means.reduce((sum, mean, i) => sum + mean * linear.weights[output * channels + i], bias));
}

function logOdds([normal, pneumonia]) {
  return pneumonia - normal;
}

function probabilityOf(odds, temperature = 1) {
  return 1 / (1 + Math.exp(-odds / temperature));
}

// How far the log-odds fall when a square is covered with mid-grey, for the squares of one row.
function occlusionRow(network, input, odds, row) {
  return Array.from({ length: input.side / TRY_WINDOW }, (_, column) => {
    const values = input.values.slice();
    for (let y = row * TRY_WINDOW; y < (row + 1) * TRY_WINDOW; y += 1) {
      values.fill(0, y * input.side + column * TRY_WINDOW, y * input.side + (column + 1) * TRY_WINDOW);
    }
    return odds - logOdds(logitsOf(network, { ...input, values }));
  });
}
