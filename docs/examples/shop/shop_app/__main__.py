"""``python -m shop_app moorage.toml [PORT]``"""

from __future__ import annotations

import sys

import uvicorn

from moorage.app import Settings
from shop_app.app import create_app

if __name__ == "__main__":
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 8000
    uvicorn.run(create_app(Settings.load(sys.argv[1])), host="127.0.0.1", port=port)
