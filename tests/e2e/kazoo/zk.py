"""PyPI's kazoo, a ZooKeeper client nobody here wrote: `zk.py [--auth USER:PASSWORD] SERVERS COMMAND PATH`.

tree: prints each node below PATH as a line of JSON: path, data, whether it is ephemeral, its ACL.
delete: removes one node, whoever made it.
deny: exits with 0 when making a node below PATH is refused.
stand: makes a candidate below PATH that holds what stands on stdin, and outlives this session.
"""

import argparse
import json
import logging
import sys

from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError


def walk(zk, path):
    data, stat = zk.get(path)
    acls, _ = zk.get_acls(path)
    print(json.dumps({
        "path": path,
        "data": data.decode("utf-8", "backslashreplace"),
        "ephemeral": stat.ephemeralOwner != 0,
        "acl": sorted([acl.perms, acl.id.scheme, acl.id.id] for acl in acls),
    }))
    for child in sorted(zk.get_children(path)):
        walk(zk, path + "/" + child)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--auth")
    parser.add_argument("servers")
    parser.add_argument("command", choices=["tree", "delete", "deny", "stand"])
    parser.add_argument("path")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    auth = [("digest", arguments.auth)] if arguments.auth else None
    zk = KazooClient(arguments.servers, timeout=10, auth_data=auth)
    zk.start(timeout=60)
    try:
        if arguments.command == "tree":
            walk(zk, arguments.path)
        elif arguments.command == "delete":
            zk.delete(arguments.path)
        elif arguments.command == "stand":
            data = sys.stdin.buffer.read()
            print(zk.create(arguments.path + "/json.info_", data, sequence=True))
        else:
            try:
                zk.create(arguments.path + "/json.info_", b"{}", ephemeral=True, sequence=True)
            except NoAuthError:
                return 0
            print("anybody may stand for election")
            return 1
    finally:
        zk.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
