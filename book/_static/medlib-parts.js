// What the pages that compute in the browser share: elements, drawings, an interval of a share.
"use strict";

const NORMAL_95 = 1.959963984540054; // standard deviations on each side of a 95 % interval

function make(tag, properties = {}, ...children) {
  const { data = {}, ...rest } = properties;
  const node = Object.assign(document.createElement(tag), rest);
  Object.assign(node.dataset, data);
  node.append(...children);
  return node;
}

function draw(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
  node.append(...children);
  return node;
}

// A share with Wilson's interval; undefined where there is no case.
function wilsonShare(part, cases) {
  if (!cases) return { value: NaN };
  const z2 = NORMAL_95 ** 2;
  const value = part / cases;
  const scale = 1 + z2 / cases;
  const centre = (value + z2 / (2 * cases)) / scale;
  const root = Math.sqrt((value * (1 - value)) / cases + z2 / (4 * cases ** 2));
  const half = (NORMAL_95 / scale) * root;
  return { value, low: Math.max(0, centre - half), high: Math.min(1, centre + half), part, cases };
}
