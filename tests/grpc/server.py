"""A gRPC server of another language: the ledger, with reflection and health.

server.py [PORT] [audit]: on a free port without one; with one more service, and with reflection in
its version v1 too, of which the messages are those of v1alpha.
"""
import os
import sys
import tempfile
import threading
from concurrent import futures

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_tools import protoc

here = os.path.dirname(os.path.abspath(__file__))
site = os.path.dirname(os.path.dirname(os.path.abspath(protoc.__file__)))
out = tempfile.mkdtemp()
failed = protoc.main([
    "protoc", f"-I{here}", f"-I{site}", f"-I{site}/grpc_tools/_proto",
    f"--python_out={out}", f"--grpc_python_out={out}",
    "--include_imports", f"--descriptor_set_out={out}/ledger.binpb", "ledger.proto",
    "audit.proto", "cloudevents.proto",
])
if failed:
    sys.exit(failed)
sys.path.insert(0, out)
import audit_pb2
import audit_pb2_grpc
import ledger_pb2 as pb
import ledger_pb2_grpc as rpc


seen = pb.SeenReply()
lock = threading.Lock()


class Ledger(rpc.LedgerServicer):
    def Transfer(self, request, context):
        context.set_trailing_metadata((("x-cost", "7"),))
        context.send_initial_metadata((("x-ledger", "main"),))
        return pb.TransferReply(id="t1", request=request)

    def Fail(self, request, context):
        with lock:
            seen.failed += 1
        info = error_details_pb2.ErrorInfo(reason="ASKED_FOR", domain="ledger.test")
        detail = any_pb2.Any()
        detail.Pack(info)
        status = status_pb2.Status(code=request.code, message="as asked: café", details=[detail])
        context.set_trailing_metadata((
            ("grpc-status-details-bin", status.SerializeToString()),
            ("x-cost", "7"),
        ))
        context.abort(grpc.StatusCode(_codes[request.code]), "as asked: café")

    def Watch(self, request, context):
        over = threading.Event()

        def end():
            if not over.is_set():
                with lock:
                    seen.left += 1

        context.add_callback(end)
        for number in range(request.count):
            yield pb.Entry(number=number, padding=b"x" * request.size)
            with lock:
                seen.told += 1
        over.set()
        if request.fail:
            context.set_trailing_metadata((("x-cost", "7"),))
            context.abort(grpc.StatusCode.DATA_LOSS, "the page is torn")

    def Sum(self, requests, context):
        return pb.SumReply(sum=sum(entry.number for entry in requests))

    def Chat(self, requests, context):
        yield from requests

    def Metadata(self, request, context):
        left = context.time_remaining()
        reply = pb.MetadataReply()
        # Without a deadline it is as far away as a clock goes.
        if left is not None and left < 1e9:
            reply.has_deadline = True
            reply.remaining_ms = int(1000 * left)
        for key, value in context.invocation_metadata():
            reply.metadata[key] = value if isinstance(value, str) else value.hex()
        return reply

    def Seen(self, request, context):
        with lock:
            return pb.SeenReply(told=seen.told, left=seen.left, failed=seen.failed)

    def Take(self, request, context):
        return request


class Audit(audit_pb2_grpc.AuditServicer):
    def Look(self, request, context):
        return audit_pb2.LookReply(id=request.id)


_codes = {code.value[0]: code.value for code in grpc.StatusCode}

server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
rpc.add_LedgerServicer_to_server(Ledger(), server)
health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
names = [pb.DESCRIPTOR.services_by_name["Ledger"].full_name, health.SERVICE_NAME]
arguments = sys.argv[1:]
if arguments[-1:] == ["audit"]:
    arguments.pop()
    audit_pb2_grpc.add_AuditServicer_to_server(Audit(), server)
    names.append(audit_pb2.DESCRIPTOR.services_by_name["Audit"].full_name)
    asked = grpc.stream_stream_rpc_method_handler(
        reflection.ReflectionServicer(names).ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    v1 = {"ServerReflectionInfo": asked}
    handler = grpc.method_handlers_generic_handler("grpc.reflection.v1.ServerReflection", v1)
    server.add_generic_rpc_handlers((handler,))
reflection.enable_server_reflection(names + [reflection.SERVICE_NAME], server)
port = server.add_insecure_port(f"127.0.0.1:{arguments[0] if arguments else 0}")
server.start()
print(f"{port} {out}", flush=True)
# Ends with whoever started it.
sys.stdin.read()
os._exit(0)
