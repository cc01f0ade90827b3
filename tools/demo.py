"""A local web page: drop a photo and see each trained model's prediction and heat map.

    python tools/demo.py                              the models in weights/, or those that came with the tutorial
    python tools/demo.py --weights-dir weights/improved --port 8000

It runs on this computer alone: the server listens on 127.0.0.1, and the page loads and sends nothing elsewhere. Needs
Starlette and uvicorn: python -m pip install -r requirements-demo.txt
"""

import io
import os
import socket
import sys
import threading
import webbrowser
from importlib.util import find_spec
from pathlib import Path

sys.path += [str(Path(__file__).resolve().parents[1] / one) for one in (".", "data")]  # as in compare.py

from drawing.drawn_cat import cat_number
from predict import TrainedModel
from tools.compare import trained_models
from tutorial.cli import TutorialError, echo, file_path, number_type, parser, run
from tutorial.images import PhotoError, data_url, decode_photo, read_file
from tutorial.model_file import best_weights
from tutorial.recipes import own_folders, pretrained_dir

import numpy as np

PORT = 8800
MAX_UPLOAD = 50_000_000  # bytes of a photo
SHOWN = 480  # pixels, the longer side of the pictures on the page
port_number = number_type("port (1 to 65535)", 1, 65535)
POLICY = "default-src 'none'; img-src data: blob:; style-src 'self'; script-src 'self'; connect-src 'self'"

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Which is it?</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css">
<h1>Which is it?</h1>
<p id="classes"></p>
<label id="drop">Drop a photo here, or click to choose one<input type="file" id="file" accept="image/*"></label>
<p><button id="camera">Take a photo</button> <button id="example">Try an example</button></p>
<video id="video" playsinline hidden></video>
<p id="status" role="status"></p>
<div id="predictions"></div>
<script src="script.js"></script>
"""
STYLE = """
:root { color-scheme: light dark; --bar: #1f77b4; --rule: #8886; }
body { margin: 0 auto; max-width: 66rem; padding: 1rem; font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
#drop { display: block; padding: 1.7rem 1rem; border: 2px dashed var(--rule); border-radius: .5rem; text-align: center;
  cursor: pointer; }
#drop.over, #drop:focus-within { border-color: var(--bar); }
#file { position: absolute; opacity: 0; width: 1px; }
button { font: inherit; padding: .4rem .8rem; }
img, video { max-width: 100%; height: auto; border-radius: .3rem; }
#predictions { display: grid; gap: 1rem 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); }
#drop, #predictions { margin-top: 1rem; }
h1, #classes { margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 0 0 .2rem; }
figure { margin: .6rem 0; }
figcaption, small { font-size: .85rem; opacity: .75; }
meter { width: 100%; }
"""
SCRIPT = """
const show = id => document.getElementById(id);
let latest = 0;  // the response for an earlier photo is not shown

function add(parent, name, text) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  return parent.appendChild(element);
}

function picture(parent, source, caption) {
  const figure = add(parent, 'figure'), image = add(figure, 'img');
  image.src = source;
  image.alt = caption;
  add(figure, 'figcaption', caption);
}

async function predict(request) {
  const mine = ++latest;
  show('status').textContent = 'Predicting ...';
  show('predictions').replaceChildren();
  let response;
  try {
    response = await (await request).json();
  } catch (error) {
    response = {error: 'No response from the server: is tools/demo.py still running?'};
  }
  if (mine !== latest) return;
  show('status').textContent = response.error || '';
  if (response.error) return;
  picture(show('predictions'), response.photo, response.name);
  for (const model of response.models) {
    const section = add(show('predictions'), 'section');
    add(section, 'h2', model.text);
    for (const [name, probability] of Object.entries(model.probabilities)) {
      add(section, 'div', `${name}: ${(100 * probability).toFixed(1)}%`);
      const meter = add(section, 'meter');
      meter.value = probability;
      meter.setAttribute('aria-label', name);
    }
    picture(section, model.heat_map, `Grad-CAM: the regions that support ${model.class}`);
    add(section, 'small', model.model);
  }
}

function send(photo) {
  predict(fetch('predict?name=' + encodeURIComponent(photo.name || 'photo'), {method: 'POST', body: photo}));
}

const drop = show('drop'), video = show('video');
show('file').onchange = event => { if (event.target.files[0]) send(event.target.files[0]); event.target.value = ''; };
document.ondragover = event => { event.preventDefault(); drop.className = 'over'; };
document.ondragleave = () => { drop.className = ''; };
document.ondrop = event => {
  event.preventDefault();
  drop.className = '';
  if (event.dataTransfer.files[0]) send(event.dataTransfer.files[0]);
};
show('example').onclick = () => predict(fetch('example', {method: 'POST'}));
show('camera').onclick = async () => {
  if (video.hidden) {
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({video: {facingMode: 'environment'}});
    } catch (error) {
      show('status').textContent = 'There is no camera, or the browser may not use it.';
      return;
    }
    video.hidden = false;
    video.play();
    show('camera').textContent = 'Capture';
    return;
  }
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext('2d').drawImage(video, 0, 0);
  video.srcObject.getTracks().forEach(track => track.stop());
  video.hidden = true;
  show('camera').textContent = 'Take a photo';
  canvas.toBlob(photo => send(new File([photo], 'camera.png')), 'image/png');
};
fetch('classes').then(response => response.json()).then(text => { show('classes').textContent = text; });
"""


def predict_photo(models: list[TrainedModel], content: bytes, name: str) -> dict:
    """What the page shows about a photo: predict.py's predictions of each model, and its heat map.

    Args:
        models: trained models.
        content: of the photo's file.
        name: of the file.

    Raises:
        PhotoError: it is not a photo, see :func:`tutorial.images.decode_photo`.
    """
    from tutorial.gradcam import heat_map
    from tutorial.plots import overlay

    photo = decode_photo(content, name)
    photo.thumbnail((SHOWN, SHOWN))
    images = {size: np.asarray(decode_photo(content, name, size)) for size in {model.image_size for model in models}}
    found = []
    for model in models:
        image = images[model.image_size]
        [(text, known)] = model.describe([image])
        regions = heat_map(model.network, model.info, image, known["class"])
        found.append(
            known | {"text": text, "model": model.name, "heat_map": data_url(overlay(photo, regions), quality=90)}
        )
    return {"name": name, "photo": data_url(photo, quality=90), "models": found}


def application(models: list[TrainedModel], example: tuple[bytes, str], port: int):  # noqa: ANN201  a starlette.Starlette
    """The web application: the page, and the requests that it makes. ``example`` is a photo's content and name."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    one_at_a_time = threading.Lock()
    names = sorted({name for model in models for name in model.info.class_names})
    own = {f"http://{host}:{port}" for host in ("127.0.0.1", "localhost")}

    def predictions(content: bytes, name: str) -> Response:
        try:
            with one_at_a_time:
                return JSONResponse(predict_photo(models, content, name))
        except PhotoError as error:
            return JSONResponse({"error": str(error)}, 422)

    async def predict(request: Request) -> Response:
        if request.headers.get("origin") not in own:  # a page elsewhere that uses this computer's browser
            return JSONResponse({"error": "requests are accepted from this page only."}, 403)
        if request.url.path == "/example":
            return await run_in_threadpool(predictions, *example)
        content = bytearray()
        async for part in request.stream():
            content += part
            if len(content) > MAX_UPLOAD:
                return JSONResponse({"error": f"the photo has more than {MAX_UPLOAD / 1e6:.0f} MB."}, 413)
        return await run_in_threadpool(predictions, bytes(content), request.query_params.get("name", "photo"))

    def page(content: str, kind: str) -> Response:
        return Response(content, media_type=kind, headers={"Content-Security-Policy": POLICY})

    return Starlette(
        routes=[
            Route("/", lambda _: page(PAGE, "text/html")),
            Route("/style.css", lambda _: page(STYLE, "text/css")),
            Route("/script.js", lambda _: page(SCRIPT, "text/javascript")),
            Route("/classes", lambda _: JSONResponse(" or ".join(names))),
            Route("/predict", predict, methods=["POST"]),
            Route("/example", predict, methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
    )


def main() -> None:
    """Load the models, then serve the page until Ctrl-C."""
    p = parser(__doc__)
    add = p.add_argument
    add("--weights-dir", type=file_path, metavar="DIR", help="folder of weights files (default: all that you trained)")
    add("--example", type=file_path, metavar="PHOTO", help="the photo to try (default: a drawn tabby)")
    add("--port", type=port_number, default=PORT, metavar="N", help="default: %(default)s")
    add("--no-browser", action="store_true", help="do not open the page")
    args = p.parse_args()
    if not (find_spec("starlette") and find_spec("uvicorn")):
        raise TutorialError("the page needs Starlette and uvicorn: python -m pip install -r requirements-demo.txt")
    import uvicorn

    try:
        models = trained_models([args.weights_dir] if args.weights_dir else own_folders())
    except TutorialError:
        if args.weights_dir or best_weights().parent != pretrained_dir():
            raise
        models = trained_models([pretrained_dir()])
    if args.example:
        example = read_file(args.example), args.example.name
    else:
        file = io.BytesIO()
        cat_number(0, "validation", "tabby", 1).save(file, "JPEG", quality=90)
        example = file.getvalue(), "drawn tabby.jpg"
    for model in models:
        echo(f"loading {model.name}")
        assert model.network
    address, listening = f"http://127.0.0.1:{args.port}", socket.socket()
    with listening:
        if os.name == "posix":  # a port that has just been left is free; on Windows this would take a port that is not
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", args.port))
            listening.listen()
        except OSError as error:
            why = f"port {args.port} cannot be used ({error.strerror})"
            raise TutorialError(f"{why}: name another with --port.") from None
        echo(f"open {address} in a browser; Ctrl-C ends it")
        if not args.no_browser:
            threading.Timer(1, webbrowser.open, [address]).start()
        server = uvicorn.Server(uvicorn.Config(application(models, example, args.port), log_level="warning"))
        server.run(sockets=[listening])


if __name__ == "__main__":
    sys.exit(run(main))
