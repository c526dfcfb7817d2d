"""The model in a browser: answers against PyTorch's, pictures of one's own, what is loaded."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.special import expit
from site_visit import NARROW, TOO_WIDE, WIDE, pages, violations, wait_until

from book._ext import medlib_try, try_model
from medlib.explain import explain
from medlib.pictures import read_picture
from medlib.predict import predict_logits

pytestmark = [pytest.mark.site, pytest.mark.xdist_group("try")]
ROOT = Path(__file__).resolve().parents[2]
CLOSE = {"rtol": 0, "atol": 1e-4}
# The logits of images by each network, as the page's own functions compute them.
LOGITS = """async (images) => {
  const { model, others } = document.querySelector(".medlib-try").dataset;
  const contents = [await fetchTryModel(model), await fetchTryModel(others)];
  return contents.flatMap((content) => content.networks).map(({ layers }) => {
    const network = readNetwork(layers);
    return images.map((image) => logitsOf(network, inputOf(image)));
  });
}"""
MAPS = """async (images) => {
  const content = await fetchTryModel(document.querySelector(".medlib-try").dataset.model);
  const network = readNetwork(content.networks[0].layers);
  return images.map((image) => {
    const input = inputOf(image);
    const odds = logOdds(logitsOf(network, input));
    return [0, 1, 2, 3, 4, 5, 6].map((row) => occlusionRow(network, input, odds, row));
  });
}"""
CALIBRATIONS = """async () => {
  const content = await fetchTryModel(document.querySelector(".medlib-try").dataset.model);
  return content.networks.map(({ calibration }) => calibration);
}"""
BUNDLED = """async () => {
  const content = await fetchTryModel(document.querySelector(".medlib-try").dataset.model);
  return content.pictures.map(({ pixels, kind }) => [kind, [...fromBase64(pixels)]]);
}"""
SEEN = """() => [...document.querySelector(".try-seen").getContext("2d")
  .getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0)"""
# What is dropped: numbers, or how many zeros.
DROP = """([name, content]) => {
  const dropped = new DataTransfer();
  dropped.items.add(new File([new Uint8Array(content)], name));
  document.querySelector(".try-own")
    .dispatchEvent(new DragEvent("drop", { dataTransfer: dropped, cancelable: true }));
}"""
PASTE = """([name, numbers]) => {
  const pasted = new DataTransfer();
  pasted.items.add(new File([Uint8Array.from(numbers)], name));
  document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: pasted }));
}"""
SHIFTS = """() => new Promise((resolve) => new PerformanceObserver((list) => resolve(
  list.getEntries().map((entry) => entry.value))).observe({ type: "layout-shift", buffered: true })
  || setTimeout(() => resolve([]), 200))"""


@pytest.fixture(scope="module")
def name(site: Path) -> str:
    """Return the page with the model, or skip."""
    for each in pages():
        if f'class="{medlib_try.MARK}"' in (site / each).read_text(encoding="utf-8"):
            return each
    pytest.skip("no page holds a model")


@pytest.fixture(scope="module")
def networks() -> list[try_model.Frozen]:
    return try_model.read(ROOT / "results")[1]


@pytest.fixture(scope="module")
def loaded(browser, address: str, name: str) -> Iterator[Any]:
    """Return a page whose model was loaded once for all tests that leave it as it is."""
    context = browser.new_context(viewport=WIDE, color_scheme="light", reduced_motion="reduce")
    page = context.new_page()
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(address + name)
    load(page)
    yield page
    context.close()


def load(page) -> None:
    page.get_by_role("button", name="Load the model").click()
    ready(page)


def ready(page) -> None:
    page.locator(".try-live[aria-busy=false]").wait_for()


def choose(page, picture: int, change: str = "as it is") -> None:
    """Show a picture; the answer is there at once, the map after a while."""
    page.locator(".try-change select").select_option(change)
    page.locator(f".try-pictures input[value='{picture}']").check()


def png(values: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind, **options)
    return file.getvalue()


def give(page, content: bytes, name: str = "picture.png") -> None:
    """Choose a file of one's own, and wait until it is taken or refused."""
    before = page.locator(".try-pictures label").count()
    page.locator(".try-own input").set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    )
    wait_until(
        page,
        f"document.querySelectorAll('.try-pictures label').length > {before}"
        " || document.querySelector('.try-refused').textContent",
    )


def seen(page) -> np.ndarray:
    return np.array(page.evaluate(SEEN), np.uint8).reshape(28, 28)


def bundled(page) -> tuple[list[str], np.ndarray]:
    kinds, pixels = zip(*page.evaluate(BUNDLED), strict=True)
    return list(kinds), np.array(pixels, np.uint8).reshape(-1, 1, 28, 28)


def percent(share: float) -> str:
    if not 0.0005 <= share <= 0.9995:
        return "over 99.9 %" if share > 0.5 else "under 0.1 %"
    return f"{100 * share:.1f} %"


def test_before_the_click_there_is_a_button_and_a_small_script(page, address: str, name: str):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address + name, wait_until="networkidle")
    assert [url for url in asked if "/_images/" in url] == []
    assert [url for url in asked if any(s in url for s in medlib_try.SCRIPTS)] == []
    assert (medlib_try.STATIC / medlib_try.LOADER).stat().st_size < 3000
    assert page.locator(".try-live").inner_html() == ""
    assert page.get_by_role("button", name="Load the model").is_visible()


def test_the_logits_are_pytorchs(loaded, networks):
    _, images = bundled(loaded)
    random = np.random.default_rng(1).integers(0, 256, (20, 1, 28, 28)).astype(np.uint8)
    images = np.concatenate([images, random])
    found = loaded.evaluate(LOGITS, images.reshape(len(images), -1).tolist())
    for mine, network in zip(found, networks, strict=True):
        wanted = predict_logits(network.saved.module, images)
        np.testing.assert_allclose(mine, wanted, **CLOSE)


def test_the_map_is_that_of_medlib(loaded, networks):
    _, images = bundled(loaded)
    module = networks[0].saved.module
    options = {"method": "occlusion", "window": 4, "stride": 4, "output": "log_odds"}
    wanted = explain(module, images[::4], task="binary", target=1, **options)[:, 2::4, 2::4]
    found = loaded.evaluate(MAPS, images[::4].reshape(len(wanted), -1).tolist())
    np.testing.assert_allclose(found, wanted, **CLOSE)
    choose(loaded, 0)
    ready(loaded)
    loaded.locator(".try-values summary").click()
    cells = loaded.locator(".try-values tbody td").all_inner_texts()
    shown = np.array([float(cell.replace("\N{MINUS SIGN}", "-")) for cell in cells]).reshape(7, 7)
    np.testing.assert_allclose(-shown, wanted[0], rtol=0, atol=0.0051)
    opacity = [
        float(r.get_attribute("fill-opacity")) for r in loaded.locator(".try-map rect").all()
    ]
    assert np.argmax(opacity) == np.abs(wanted[0]).argmax()


def test_the_answer_is_that_of_the_network_its_temperature_and_its_threshold(loaded, networks):
    _, images = bundled(loaded)
    (fitted,) = loaded.evaluate(CALIBRATIONS)
    all_odds = np.diff(networks[0].logits(images))[:, 0]
    for picture in range(0, len(images), 3):
        odds = all_odds[picture]
        choose(loaded, picture)
        stated, calibrated = loaded.locator(".try-answer dd").all_inner_texts()
        assert stated == percent(expit(odds))
        called = "pneumonia" if expit(odds) >= networks[0].threshold else "normal"
        assert loaded.locator(".try-side").inner_text().endswith(f"called {called}.")
        if not fitted:  # the site was built without the data
            assert calibrated.startswith("not known")
            continue
        share = expit(odds / fitted["temperature"])
        assert calibrated == percent(share)
        count, true = fitted["bins"][max(int(np.ceil(10 * share)) - 1, 0)]
        words = loaded.locator(".try-words").inner_text()
        assert f"Of {count} validation films" in words
        assert f"{true} showed pneumonia" in words


def test_changes_are_what_they_are_called(loaded):
    _, images = bundled(loaded)
    image = images[0, 0]
    blurred = np.clip(gaussian_filter(image.astype(float), 0.8), 0, 255).round()
    wanted = {
        "upside down": image[::-1],
        "left and right exchanged": image[:, ::-1],
        "inverted": 255 - image,
        "blurred": blurred,
        "as it is": image,
    }
    for change, pixels in wanted.items():
        choose(loaded, 0, change)
        assert (seen(loaded) == pixels).all(), change


def test_a_file_gives_the_answer_of_the_same_bundled_picture(loaded):
    _, images = bundled(loaded)
    choose(loaded, 0)
    answer = loaded.locator(".try-answer").inner_text()
    choose(loaded, 3)
    give(loaded, png(images[0, 0]))
    assert (seen(loaded) == images[0, 0]).all()
    assert loaded.locator(".try-answer").inner_text() == answer


@pytest.mark.parametrize("shape", [(90, 301), (500, 333), (17, 12), (28, 60)], ids=str)
def test_a_file_is_seen_as_medlib_reads_it(loaded, tmp_path: Path, shape: tuple[int, int]):
    noise = np.random.default_rng(2).random((*shape, 3)) * np.linspace(0, 255, shape[1])[:, None]
    path = tmp_path / "picture.png"
    path.write_bytes(png(noise.astype(np.uint8)))
    give(loaded, path.read_bytes())
    wanted = read_picture(path, channels=1, size=28, fit="crop").image[0]
    assert (seen(loaded) == wanted).all()


def test_a_photograph_is_turned_upright(loaded, tmp_path: Path):
    wide = np.tile(np.linspace(0, 255, 120).astype(np.uint8), (80, 1))
    turned = Image.Exif()
    turned[0x0112] = 6  # shown turned by 90 degrees
    path = tmp_path / "picture.jpg"
    path.write_bytes(png(wide, "JPEG", quality=95, exif=turned.tobytes()))
    give(loaded, path.read_bytes(), "picture.jpg")
    wanted = read_picture(path, channels=1, size=28, fit="crop").image[0]
    assert np.abs(seen(loaded).astype(int) - wanted).max() <= 2


@pytest.mark.parametrize("how", [DROP, PASTE], ids=["dropped", "pasted"])
def test_a_picture_may_be_dropped_or_pasted(loaded, how: str):
    pixels = np.random.default_rng(3).integers(0, 256, (28, 28)).astype(np.uint8)
    before = loaded.locator(".try-pictures label").count()
    loaded.evaluate(how, ["picture.png", list(png(pixels))])
    loaded.locator(f".try-pictures input[value='{before}']").wait_for()
    assert (seen(loaded) == pixels).all()


def header(width: int, height: int) -> bytes:
    """Return a PNG file whose head claims a size."""
    whole = bytearray(png(np.zeros((2, 2), np.uint8)))
    whole[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return bytes(whole)


REFUSED = {
    "empty": (b"", "The file is empty."),
    "text": (b"no picture at all, but text", "no PNG or JPEG"),
    "a gif": (b"GIF89a" + bytes(60), "no PNG or JPEG"),
    "cut off": (png(np.eye(50, dtype=np.uint8) * 255)[:60], "damaged"),
    "a bomb": (header(60_000, 60_000), "60000 × 60000 pixels"),
    "blank": (png(np.full((40, 40), 7, np.uint8)), "blank"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_picture_is_refused_in_a_sentence(loaded, kind: str):
    content, words = REFUSED[kind]
    before = loaded.locator(".try-pictures label").count()
    give(loaded, content)
    refusal = loaded.locator(".try-refused").inner_text()
    assert words in refusal
    assert refusal.count(". ") == 0
    assert loaded.locator(".try-pictures label").count() == before


def test_a_file_of_many_megabytes_is_refused_and_the_next_one_read(loaded):
    loaded.evaluate(DROP, ["picture.png", 20_000_001])
    refused = loaded.locator(".try-refused")
    assert "21 MB" in refused.inner_text()
    give(loaded, png(np.eye(30, dtype=np.uint8) * 255))
    assert refused.inner_text() == ""


def test_the_other_trainings_answer_beside_the_first(loaded, networks):
    if button := loaded.get_by_role("button", name="Ask the other trainings").all():
        assert loaded.locator(".try-trainings tbody tr").count() == 1
        button[0].click()
        loaded.locator(".try-trainings tbody tr").nth(3).wait_for()
    _, images = bundled(loaded)
    choose(loaded, 1)
    each = [expit(np.diff(n.logits(images[[1]]))[0, 0]) for n in networks]
    rows = loaded.locator(".try-trainings tbody tr").all_inner_texts()
    assert [row.split("\t")[1] for row in rows] == [percent(p) for p in [*each, np.mean(each)]]
    together = try_model.read(ROOT / "results")[0]["together"]["threshold"]
    assert rows[-1].endswith("pneumonia" if np.mean(each) >= together else "normal")


def test_nothing_is_asked_of_a_server_once_the_model_is_there(loaded):
    """Runs behind the others of this page: they gave pictures, changed them and read answers."""
    choose(loaded, 0)
    before = len(loaded.asked)
    give(loaded, png(np.eye(40, dtype=np.uint8) * 255))
    choose(loaded, 2, "blurred")
    ready(loaded)
    assert loaded.asked[before:] == []
    assert [url for url in loaded.asked if not url.startswith(loaded.url.split("/book/")[0])] == []


def test_the_keyboard_chooses_and_the_answer_is_announced(loaded):
    choose(loaded, 0)
    status = loaded.locator(".try-live [role=status]")
    before = status.inner_text()
    loaded.locator(".try-pictures input[value='0']").focus()
    loaded.keyboard.press("ArrowRight")
    assert loaded.locator(".try-pictures input[value='1']").is_checked()
    assert status.inner_text() != before
    assert loaded.locator(".try-seen").get_attribute("aria-label")


def test_everybody_can_read_it_and_it_fits_a_phone(loaded):
    choose(loaded, 0)
    loaded.evaluate(
        "document.querySelectorAll('.medlib-try details').forEach((fold) => { fold.open = true; })"
    )
    assert violations(loaded, f".{medlib_try.MARK}") == []
    loaded.set_viewport_size(NARROW)
    assert loaded.evaluate(TOO_WIDE) == []
    loaded.set_viewport_size(WIDE)


def test_nothing_jumps(page, address: str, name: str):
    page.goto(address + name)
    assert sum(page.evaluate(SHIFTS)) < 0.01  # then the click opens a place for the answers
    load(page)
    words = page.locator(".try-words")
    before = words.bounding_box()["y"]
    page.evaluate("document.querySelector('.try-map svg').remove()")
    page.evaluate("document.querySelector('.try-strongest').replaceChildren()")
    assert words.bounding_box()["y"] == before


def test_the_model_also_answers_from_a_disk(page, site: Path, name: str):
    page.goto((site / name).as_uri())
    load(page)
    give(page, png(np.eye(40, dtype=np.uint8) * 255))
    assert "%" in page.locator(".try-answer dd").first.inner_text()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: re.sub('"weights":".{8}', '"weights":"AAAAQQAA', text, count=1),
        lambda text: text.replace('"weights":"', '"weights":"AAAAQQAA', 1),
        lambda text: text.replace('"weights":"', '"weights":"AAAAQQAAAEEAAABB"+"', 1),
        lambda text: "",
    ],
    ids=["cut off", "other weights", "weights moved", "too many weights", "empty"],
)
def test_a_damaged_model_is_refused_in_a_sentence(page, address: str, name: str, damage):
    def answer(route) -> None:
        text = route.fetch().text()
        route.fulfill(body=damage(text), content_type="text/javascript")

    page.route("**/try-model-*.js", answer)
    page.goto(address + name)
    button = page.get_by_role("button", name="Load the model")
    button.click()
    problem = page.locator(".try-problem")
    problem.filter(has_text="could not be loaded").wait_for()
    assert page.locator(".try-live").inner_html() == ""
    page.unroute("**/try-model-*.js")
    load(page)  # and a second press loads it
    assert page.locator(".try-answer dd").count() == 2
