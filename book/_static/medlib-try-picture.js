// A reader's own picture for "Try a model", in the browser alone: grey, the square in the middle, 28
// pixels a side. All three as medlib.pictures.read_picture(..., fit="crop") does, pixel by pixel.
"use strict";

const TRY_SIDE = 28;
const TRY_MOST_BYTES = 20e6;
const TRY_MOST_PIXELS = 50e6;
const TRY_STRIP = 64; // rows that are decoded at a time: a phone has little memory
const TRY_FIXED = 2 ** 22; // Pillow counts with whole numbers of so many parts

class PictureProblem extends Error {}

// Width and height of a PNG or JPEG file by its head; undefined where it is neither.
function pictureSize(bytes) {
  const view = new DataView(bytes.buffer);
  if (bytes.length > 24 && view.getUint32(0) === 0x89504e47) return [view.getUint32(16), view.getUint32(20)];
  if (bytes.length < 4 || view.getUint16(0) !== 0xffd8) return undefined;
  for (let at = 2; at + 9 < bytes.length && bytes[at] === 0xff; at += 2 + view.getUint16(at + 2)) {
    const kind = bytes[at + 1];
    const frame = kind >= 0xc0 && kind <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(kind);
    if (frame) return [view.getUint16(at + 7), view.getUint16(at + 5)];
  }
  return undefined;
}

function stripOf(bitmap, left, top, side, rows) {
  const canvas = make("canvas", { width: side, height: rows });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillRect(0, 0, side, rows); // black: what is transparent becomes dark
  context.drawImage(bitmap, left, top, side, rows, 0, 0, side, rows);
  return context.getImageData(0, 0, side, rows).data;
}

// Some browsers change the pixels that a page reads, so that no page knows them again.
function readsTruly() {
  const canvas = make("canvas", { width: 16, height: 16 });
  const context = canvas.getContext("2d");
  const known = new ImageData(16, 16);
  known.data.forEach((_, i) => { known.data[i] = i % 4 === 3 ? 255 : (37 * i) % 256; });
  context.putImageData(known, 0, 0);
  return context.getImageData(0, 0, 16, 16).data.every((value, i) => value === known.data[i]);
}

// ITU-R 601 luma in whole numbers, as Pillow.
function greyRow(colours, row, side) {
  return Uint8Array.from({ length: side }, (_, x) => {
    const at = 4 * (row * side + x);
    return (19595 * colours[at] + 38470 * colours[at + 1] + 7471 * colours[at + 2] + 32768) >> 16;
  });
}

function bicubic(x) {
  const far = Math.abs(x);
  if (far < 1) return (1.5 * far - 2.5) * far * far + 1;
  return far < 2 ? ((-0.5 * far + 2.5) * far - 4) * far + 2 : 0;
}

// For each new pixel the first old one that has a part in it, and the parts, as Pillow's resize: the
// bicubic kernel is as wide as the step where the picture shrinks, so that no old pixel is passed over.
function resampling(from, to) {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  return Array.from({ length: to }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const start = Math.max(Math.trunc(centre - 2 * stretch + 0.5), 0);
    const end = Math.min(Math.trunc(centre + 2 * stretch + 0.5), from);
    const parts = Array.from({ length: end - start }, (_, i) => bicubic((start + i - centre + 0.5) / stretch));
    const whole = parts.reduce((sum, part) => sum + part, 0);
    const fixed = parts.map((part) => Math.trunc((part / whole) * TRY_FIXED + Math.sign(part) * 0.5));
    return { start, parts: fixed };
  });
}

function resampled(values, steps) {
  return Uint8ClampedArray.from(steps, ({ start, parts }) => {
    let sum = TRY_FIXED / 2;
    for (let i = 0; i < parts.length; i += 1) sum += parts[i] * values[start + i];
    return Math.floor(sum / TRY_FIXED);
  });
}

function greySquare(bitmap) {
  const side = Math.min(bitmap.width, bitmap.height);
  const [left, top] = [bitmap.width, bitmap.height].map((length) => Math.floor((length - side) / 2));
  const steps = side === TRY_SIDE ? undefined : resampling(side, TRY_SIDE);
  const rows = [];
  for (let y = 0; y < side; y += TRY_STRIP) {
    const count = Math.min(TRY_STRIP, side - y);
    const colours = stripOf(bitmap, left, top + y, side, count);
    for (let row = 0; row < count; row += 1) {
      const grey = greyRow(colours, row, side);
      rows.push(steps ? resampled(grey, steps) : grey);
    }
  }
  if (!steps) return Uint8Array.from(rows.flatMap((row) => [...row]));
  const columns = Array.from({ length: TRY_SIDE }, (_, x) => resampled(rows.map((row) => row[x]), steps));
  return Uint8Array.from({ length: TRY_SIDE ** 2 }, (_, i) => columns[i % TRY_SIDE][Math.floor(i / TRY_SIDE)]);
}

function checkFile(file, bytes) {
  if (!file.size) throw new PictureProblem("The file is empty.");
  const size = pictureSize(bytes);
  if (!size) throw new PictureProblem("The file is no PNG or JPEG picture.");
  if (size[0] * size[1] > TRY_MOST_PIXELS) {
    throw new PictureProblem(`The picture has ${size[0]} × ${size[1]} pixels, and at most ${TRY_MOST_PIXELS / 1e6} million are read: make a smaller copy of it.`);
  }
  if (!readsTruly()) {
    throw new PictureProblem("This browser changes the pixels that a page reads, as a protection against tracking: use one of the other pictures.");
  }
}

// The pixels of a file as the network sees them, and what was done to it; throws a PictureProblem.
async function readTryPicture(file) {
  if (file.size > TRY_MOST_BYTES) {
    throw new PictureProblem(`The file has ${Math.ceil(file.size / 1e6)} MB, and at most ${TRY_MOST_BYTES / 1e6} are read: make a smaller copy of it.`);
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  checkFile(file, bytes);
  const plainly = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(new Blob([bytes]), plainly).catch(() => {
    throw new PictureProblem("The file is damaged, or too large for this browser.");
  });
  const pixels = greySquare(bitmap);
  const { width, height } = bitmap;
  bitmap.close();
  if (pixels.every((pixel) => pixel === pixels[0])) {
    throw new PictureProblem("The picture is blank: every pixel has the same value.");
  }
  const cut = width === height ? "" : "cut to the square in its middle, ";
  const size = width === TRY_SIDE && height === TRY_SIDE ? "left at its size" : `${cut}made ${TRY_SIDE} × ${TRY_SIDE}`;
  return { pixels, done: `${width} × ${height} pixels, made grey, ${size}` };
}

// ---------- changes of a picture of 28 pixels a side ----------

// A Gaussian blur of 0.8 pixels, as chapter 4.5 blurs films: scipy's, mirrored at the edge.
function blurred(pixels) {
  const reach = [-3, -2, -1, 0, 1, 2, 3];
  const heights = reach.map((x) => Math.exp(-(x * x) / (2 * 0.8 ** 2)));
  const whole = heights.reduce((sum, height) => sum + height, 0);
  const mirrored = (i) => (i < 0 ? -1 - i : i < TRY_SIDE ? i : 2 * TRY_SIDE - 1 - i);
  const along = (values, place) => values.map((_, i) => {
    const [row, column] = [Math.floor(i / TRY_SIDE), i % TRY_SIDE];
    return reach.reduce((sum, step, k) => sum + (heights[k] / whole) * values[place(row, column, step)], 0);
  });
  const down = along(Float64Array.from(pixels), (row, column, step) => mirrored(row + step) * TRY_SIDE + column);
  const across = along(down, (row, column, step) => row * TRY_SIDE + mirrored(column + step));
  return Uint8Array.from(across, Math.round);
}

const TRY_CHANGES = {
  "as it is": (pixels) => pixels,
  "upside down": (pixels) => pixels.map((_, i) => pixels[(TRY_SIDE - 1 - Math.floor(i / TRY_SIDE)) * TRY_SIDE + (i % TRY_SIDE)]),
  "left and right exchanged": (pixels) => pixels.map((_, i) => pixels[i + TRY_SIDE - 1 - 2 * (i % TRY_SIDE)]),
  "inverted": (pixels) => pixels.map((pixel) => 255 - pixel),
  "blurred": blurred,
};
