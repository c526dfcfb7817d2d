"""A model behind an address on this machine: an image file in, probabilities out.

It is made of Python's standard library, to show what serving is. It listens to this machine alone,
knows no users and encrypts nothing: a hospital takes a real server in its place.
"""

import http.client
import json
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from medlib.errors import MedlibError
from medlib.pictures import PictureError, read_picture
from medlib.quantise import OnnxModel

__all__ = ["ask", "serving"]

PATIENCE = 20.0  # seconds without a byte
LARGEST = 20_000_000  # bytes of a file that is taken
HERE = "127.0.0.1"


@contextmanager
def serving(model: OnnxModel, port: int = 0) -> Iterator[str]:
    """Serve a model while the block runs; yield its address.

    Parameters
    ----------
    model : OnnxModel
        The model; each request is a batch of one.
    port : int
        Where to listen; 0 takes one that is free.
    """
    server = ThreadingHTTPServer((HERE, port), _handler(model))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HERE}:{server.server_port}/predict"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(address: str, picture: bytes, seconds: float = 10.0) -> dict[str, float]:
    """Send the content of an image file to a server; return the probability of each class.

    Raises
    ------
    MedlibError
        With the server's sentence, where it cannot use the file; where something else answers.
    """
    try:
        code, found = _post(urllib.request.Request(address, data=picture), seconds)
        said = "" if code == 200 else found["error"]
    except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException) as error:
        raise MedlibError(f"{address} did not answer as a model does ({error})") from error
    if said:
        raise MedlibError(said)
    return found


def _post(request: urllib.request.Request, seconds: float) -> tuple[int, dict]:
    """Return the code and the JSON of an answer; the request never leaves the machine."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=seconds) as answer:
            return 200, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def _handler(model: OnnxModel) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE

        def do_POST(self) -> None:
            given = self.headers.get("Content-Length") or "0"
            size = int(given) if given.isascii() and given.isdecimal() and len(given) < 12 else 0
            if not 0 < size <= LARGEST:
                self.close_connection = True
                return self._answer(413, {"error": f"send 1 to {LARGEST} bytes, got {given[:20]}"})
            try:
                found = _probabilities(model, self.rfile.read(size))
            except PictureError as why:
                return self._answer(422, {"error": str(why)})
            except (TimeoutError, ConnectionError):
                self.close_connection = True
                return None  # whoever asked has gone, or never sent what was announced
            return self._answer(200, found)

        def _answer(self, code: int, content: dict) -> None:
            body = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Write no log: what to log is decided by whoever runs it."""

    return Handler


def _probabilities(model: OnnxModel, content: bytes) -> dict[str, float]:
    """Read a file as ``medlib predict`` does, and return the probability of each class."""
    channels, size = model.shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture"
        path.write_bytes(content)
        image = read_picture(path, channels=channels, size=size).image
    (row,) = model.predict_proba(image[None])
    return {name: float(value) for name, value in zip(model.class_names, row, strict=True)}
