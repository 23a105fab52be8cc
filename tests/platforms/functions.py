"""A function in the Functions Framework for Python: its name, and how it is called."""

import sys

import flask
from functions_framework import create_app
from werkzeug.serving import make_server


def plain(request):
    if request.path == "/crash":
        raise ValueError("its own reasons")
    said = {
        "path": request.path,
        "c": request.args.get("c"),
        "own": request.headers.get("x-own"),
        "body": request.get_data(as_text=True),
    }
    return flask.jsonify(said), 201


def on_event(event):
    if event["type"] != "com.acme.paid" or event.data["n"] < 0:
        raise ValueError("its own reasons")


if __name__ == "__main__":
    name, kind = sys.argv[1:]
    server = make_server("127.0.0.1", 0, create_app(name, __file__, kind), threaded=True)
    print(server.server_port, flush=True)
    server.serve_forever()
