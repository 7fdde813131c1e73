#!/usr/bin/env python3
"""A network and IPAM plugin as a stranger would write it, on nothing but Python's standard library.

plugin.py SOCKET [METHOD=HOW ...]

It keeps networks and endpoints in memory, and leases from 10.77.N.0/24. At a METHOD it can misbehave: `die` ends the
process before it answers, `hang` never answers, `half` sends half of an answer, `huge` sends a gibibyte, `lie` answers
with what can't be, `page` answers with a web page, `status` with an HTTP error.
"""

import http.server
import ipaddress
import json
import os
import re
import socketserver
import sys
import threading

PATH = sys.argv[1]
MISBEHAVIOUR = dict(argument.split("=") for argument in sys.argv[2:])
LIES = {
    "Plugin.Activate": {"Implements": "NetworkDriver"},
    "NetworkDriver.GetCapabilities": {"Scope": "galactic"},
    "NetworkDriver.CreateEndpoint": {"Interface": {"MacAddress": "ff:ff:ff:ff:ff:ff"}},
    "NetworkDriver.Join": {"InterfaceName": {"SrcName": "../../etc/shadow", "DstPrefix": "eth"}},
    "IpamDriver.RequestPool": {"PoolID": "pool", "Pool": "everything"},
    "IpamDriver.RequestAddress": {"Address": "224.0.0.1/4"},
}

lock = threading.Lock()
networks = {}
pools = {}


class Refusal(Exception):
    pass


def check(asked):
    for field in ("NetworkID", "EndpointID"):
        if not re.fullmatch("[0-9a-f]{64}", asked.get(field, "0" * 64)):
            raise ValueError(f"{field} is not an id")
    for field in ("PoolID", "Pool", "Address"):
        if not isinstance(asked.get(field, ""), str):
            raise ValueError(f"{field} is not text")
    return asked


def activate(_):
    return {"Implements": ["NetworkDriver", "IpamDriver"]}


def capabilities(_):
    return {"Scope": "local"}


def create_network(asked):
    if asked["NetworkID"] in networks:
        raise Refusal("network exists")
    networks[asked["NetworkID"]] = {}
    return {}


def delete_network(asked):
    networks.pop(asked["NetworkID"], None)
    return {}


def create_endpoint(asked):
    endpoints = networks.get(asked["NetworkID"])
    if endpoints is None:
        raise Refusal("no such network")
    if asked["EndpointID"] in endpoints:
        raise Refusal("endpoint exists")
    endpoints[asked["EndpointID"]] = {"joined": False}
    return {"Interface": None}


def delete_endpoint(asked):
    networks.get(asked["NetworkID"], {}).pop(asked["EndpointID"], None)
    return {}


def join(asked):
    endpoint = networks.get(asked["NetworkID"], {}).get(asked["EndpointID"])
    if endpoint is None:
        raise Refusal("no such endpoint")
    if endpoint["joined"]:
        raise Refusal("already joined")
    endpoint["joined"] = True
    return {"InterfaceName": None, "Gateway": "", "DisableGatewayService": True}


def leave(asked):
    endpoint = networks.get(asked["NetworkID"], {}).get(asked["EndpointID"])
    if endpoint is not None:
        endpoint["joined"] = False
    return {}


def oper_info(_):
    return {"Value": {"networks": len(networks)}}


def spaces(_):
    return {"LocalDefaultAddressSpace": "here", "GlobalDefaultAddressSpace": "everywhere"}


def request_pool(asked):
    if asked["Pool"]:
        ipaddress.ip_network(asked["Pool"])
    pool = asked["Pool"] or next(f"10.77.{n}.0/24" for n in range(256) if f"10.77.{n}.0/24" not in pools)
    if pool in pools:
        raise Refusal("pool is leased")
    pools[pool] = set()
    return {"PoolID": pool, "Pool": pool, "Data": {}}


def release_pool(asked):
    pools.pop(asked["PoolID"], None)
    return {}


def request_address(asked):
    leased = pools.get(asked["PoolID"])
    if leased is None:
        raise Refusal("no such pool")
    base = asked["PoolID"].rsplit(".", 1)[0]
    address = asked["Address"] or next(f"{base}.{n}" for n in range(1, 255) if f"{base}.{n}" not in leased)
    if ipaddress.ip_address(address) not in ipaddress.ip_network(asked["PoolID"]):
        raise Refusal("address is not in the pool")
    if address in leased:
        raise Refusal("address is leased")
    leased.add(address)
    return {"Address": address + "/24", "Data": None}


def release_address(asked):
    pools.get(asked["PoolID"], set()).discard(asked["Address"])
    return {}


METHODS = {
    "Plugin.Activate": activate,
    "NetworkDriver.GetCapabilities": capabilities,
    "NetworkDriver.CreateNetwork": create_network,
    "NetworkDriver.DeleteNetwork": delete_network,
    "NetworkDriver.CreateEndpoint": create_endpoint,
    "NetworkDriver.DeleteEndpoint": delete_endpoint,
    "NetworkDriver.EndpointOperInfo": oper_info,
    "NetworkDriver.Join": join,
    "NetworkDriver.Leave": leave,
    "IpamDriver.GetDefaultAddressSpaces": spaces,
    "IpamDriver.RequestPool": request_pool,
    "IpamDriver.ReleasePool": release_pool,
    "IpamDriver.RequestAddress": request_address,
    "IpamDriver.ReleaseAddress": release_address,
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        method = self.path[1:]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        how = MISBEHAVIOUR.get(method)
        if how == "die":
            os._exit(9)
        if how == "hang":
            threading.Event().wait()
        if how == "page":
            return self.answer(200, b"<html>It works!</html>", "text/html")
        if how == "status":
            return self.answer(500, json.dumps({"Err": "out of order"}).encode())
        if how == "lie":
            return self.answer(200, json.dumps(LIES[method]).encode())
        if how == "half":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"InterfaceName": {"Src')
            self.close_connection = True
            return None
        if how == "huge":
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(1 << 10):
                    self.wfile.write(b" " * (1 << 20))
            except OSError:
                pass
            self.close_connection = True
            return None
        if method not in METHODS:
            return self.answer(404, b"404 page not found", "text/plain")
        field = "Error" if method.startswith("IpamDriver.") else "Err"
        with lock:
            try:
                reply = METHODS[method](check(json.loads(body) if body.strip() else {}))
            except Refusal as refusal:
                reply = {field: str(refusal)}
            except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
                return self.answer(400, json.dumps({"Err": f"what is that? {error!r:.100}"}).encode())
        return self.answer(200, json.dumps(reply).encode())

    def answer(self, status, body, kind="application/vnd.docker.plugins.v1.2+json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "caller"

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


if os.path.exists(PATH):
    os.unlink(PATH)
with Server(PATH, Handler) as server:
    print("listening", flush=True)
    server.serve_forever()
