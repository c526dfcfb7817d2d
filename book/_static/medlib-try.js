// "Try a model" before the click: a button. Only a click fetches the other scripts and the model.
"use strict";

const TRY_STATIC = document.currentScript.src;
const TRY_CONTENTS = [];

// What the model's files call. They are scripts: a page opened from a disk may fetch nothing else.
function receiveTryModel(content) {
  TRY_CONTENTS.push(content);
}

function fetchScript(name) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL(name, TRY_STATIC);
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${name} was not found`));
    document.head.append(script);
  });
}

// A file that ends too early is no script: it loads, and hands over nothing.
async function fetchTryModel(name) {
  TRY_CONTENTS.length = 0;
  await fetchScript(`../_images/${name}`);
  if (!TRY_CONTENTS.length) throw new Error(`${name} is incomplete`);
  return TRY_CONTENTS.pop();
}

// Let a button load something once; where that fails a sentence says so, and it can be pressed again.
function loadOnClick(button, problem, load) {
  const words = button.textContent;
  button.addEventListener("click", async () => {
    if (button.ariaDisabled === "true") return;
    button.ariaDisabled = "true"; // and not disabled, which would lose the focus
    button.textContent = "Loading …";
    problem.textContent = "";
    try {
      await load();
    } catch {
      problem.textContent = "The model could not be loaded, or its file is damaged: reload the page, or try again later.";
      button.textContent = words;
      button.ariaDisabled = "false";
    }
  });
}

function startTry(box) {
  const missing = box.dataset.scripts.split(" ");
  const load = async () => {
    for (; missing.length; missing.shift()) await fetchScript(missing[0]);
    startTryPage(box, await fetchTryModel(box.dataset.model));
  };
  loadOnClick(box.querySelector("button"), box.querySelector(".try-problem"), load);
}

document.querySelectorAll(".medlib-try").forEach(startTry);
