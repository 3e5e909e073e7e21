"""``python -m nbsupport demo``: the demo as a page of its own, served by Voilà to this machine only."""

import importlib.util
import json
import os
import socket
import tempfile
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nbsupport.cli.common import out, plain, readable_errors
from nbsupport.core.errors import UserError

if TYPE_CHECKING:
    from voila.app import Voila

ADDRESS = "127.0.0.1"
#: What the page needs beyond the package's own dependencies (the extra ``demo``).
NEEDED = ("voila", "ipycanvas", "ipywidgets")
_LARGEST_MESSAGE = 64 << 20  # bytes: an uploaded file is one message
_IDLE = 300  # seconds after which a kernel without a page is ended


@readable_errors
def demo(
    run_name: Annotated[
        str | None,
        typer.Option("--run", "-r", metavar="NAME", help="Use this run; default: drawn birds, the package's weights."),
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, metavar="N", help="Port to listen on; 0: any free one.")
    ] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the link.")] = False,
) -> None:
    """Paint holes, have them filled, and see what the detectors say, in a browser. Ends with Ctrl-C.

    The page is served to this machine only. Without --run it shows synthetic birds and the weights of the package.

    [bold]Examples[/bold]

      python -m nbsupport demo

      python -m nbsupport demo --run cub-quick --port 8866 --no-browser
    """
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        raise UserError(f"The demo needs {', '.join(lacking)}. Install what it needs:  pip install -e '.[demo]'")
    folder = None
    if run_name is not None:
        from nbsupport.book import status as statuses

        opened = statuses.open_existing(run_name)
        opened.require("masks")
        folder = opened.path
    port = choose_port(port)
    with tempfile.TemporaryDirectory(prefix="nbsupport-demo-") as place:
        page = Path(place) / "demo.ipynb"
        page.write_text(json.dumps(page_source(folder)), "utf-8")
        link = f"http://{ADDRESS}:{port}/"

        def ready() -> None:
            out.print(f"The demo is at {plain(link)} (this machine only). End it with Ctrl-C.")
            if not no_browser:
                webbrowser.open(link)

        out.print("The demo is starting …")
        serve(page, port, ready)
    out.print("The demo has ended.")


def page_source(folder: Path | None) -> dict:
    """The notebook behind the page: one cell that shows the demo over the run in `folder` (None: no run)."""
    made = f"Demo(Run({str(folder)!r}))" if folder else "Demo()"
    lines = ["from nbsupport.runs import Run", "from nbsupport.demo import Demo", "", made]
    cell = {"cell_type": "code", "id": "demo", "metadata": {}, "outputs": [], "execution_count": None}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": [cell | {"source": "\n".join(lines)}],
        "metadata": {"kernelspec": kernel, "title": "Paint a hole, be judged"},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def choose_port(wanted: int) -> int:
    """`wanted` if it is free, any free port for 0.

    Raises:
        UserError: the port is taken or may not be used.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just left counts as free
        try:
            probe.bind((ADDRESS, wanted))
        except OSError as error:
            raise UserError(
                f"Port {wanted} cannot be used ({error.strerror}). Leave --port out to have a free one chosen."
            ) from None
        return probe.getsockname()[1]


def serve(page: Path, port: int, ready: Callable[[], object]) -> None:
    """Run Voilà on a notebook until it is interrupted; `ready` is called when the port answers."""
    # What a kernel inherits: the package must be found from the page's folder.
    root = str(Path(__file__).resolve().parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    from tornado.ioloop import IOLoop

    server = _server()
    server.initialize([
        str(page), "--no-browser", f"--port={port}", f"--Voila.ip={ADDRESS}", "--Voila.port_retries=0",
        "--Voila.log_level=ERROR", f"--MappingKernelManager.cull_idle_timeout={_IDLE}",
        "--MappingKernelManager.cull_interval=30",
    ])  # fmt: skip
    server.tornado_settings = {"websocket_max_message_size": _LARGEST_MESSAGE}
    IOLoop.current().add_callback(ready)
    server.start()


def _server() -> "Voila":
    """Voilà with the page's own template and the address at which the page asks for its kernel, and ends it."""
    from jupyter_server.base.handlers import JupyterHandler
    from tornado import web
    from voila.app import Voila

    class Kernel(JupyterHandler):
        """``GET``: 204 while the page's kernel lives, else 404. ``POST``: end it.

        A closing page can send no token (Voilà's own request is refused for want of it). The origin must be ours
        instead, and the kernel's id is a secret of the page.
        """

        def check_xsrf_cookie(self) -> None:
            if not self.check_origin():
                raise web.HTTPError(403, "The request comes from another page.")

        @web.authenticated
        async def get(self, kernel_id: str) -> None:
            self.set_status(204 if kernel_id in self.kernel_manager else 404)

        @web.authenticated
        async def post(self, kernel_id: str) -> None:
            if kernel_id in self.kernel_manager:
                await self.kernel_manager.shutdown_kernel(kernel_id, now=True)
            self.set_status(204)

    class Server(Voila):
        def setup_template_dirs(self) -> None:
            super().setup_template_dirs()
            own = Path(__file__).resolve().parents[1] / "book" / "pages" / "templates"
            self.template_paths = [str(own / "served"), str(own), *self.template_paths]

        def init_handlers(self) -> list:
            places = (rf"{self.server_url}{start}/([\w-]+)" for start in ("nbsupport/kernel", "voila/api/shutdown"))
            return [*((place, Kernel) for place in places), *super().init_handlers()]

    return Server()
