"""A receiver of CloudEvents as the CloudEvents SDK for Python reads and writes them.

It refuses what the SDK does not take for an event, and answers an event with another: in structured
mode where its type ends with `.structured`, else in binary mode.
"""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cloudevents.exceptions import GenericException
from cloudevents.http import CloudEvent, from_http, to_binary, to_structured


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            event = from_http(dict(self.headers.items()), body)
        except GenericException as error:
            return self.answer(400, {}, str(error).encode())
        if self.headers.get("prefer") != "reply":
            return self.answer(202, {}, b"")
        attributes = {
            "id": "reply-to-" + event["id"],
            "source": "/receiver",
            "type": "com.acme.received",
            "subject": event.get("subject") or "none",
            "datacontenttype": "application/json",
        }
        reply = CloudEvent(attributes, {"type": event["type"], "data": event.data})
        write = to_structured if event["type"].endswith(".structured") else to_binary
        self.answer(200, *write(reply))

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
