"""A client's process: `python -m tests.faults.caller start KEY` or `... signal ID DEDUP [NAME]`."""

import sys

from saga import Client
from tests.faults import sagas

if __name__ == "__main__":
    client = Client()
    if sys.argv[1] == "start":
        client.start(sagas.trip, 2, key=sys.argv[2])
    else:
        name = sys.argv[4] if len(sys.argv) > 4 else "letter"
        client.signal(sys.argv[2], name, "once", dedup_id=sys.argv[3])
