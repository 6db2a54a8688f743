"""Work with further libraries that bring native code. Copied beside a worker's SDK."""

from __future__ import annotations

import io

REQUIREMENTS = ("cffi", "cryptography", "orjson", "pyyaml", "jinja2", "lxml", "pillow")


def cryptography_keys():
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    fernet = Fernet(Fernet.generate_key())
    assert fernet.decrypt(fernet.encrypt(b"x")) == b"x"
    private = ed25519.Ed25519PrivateKey.generate()
    private.public_key().verify(private.sign(b"x"), b"x")
    ec.generate_private_key(ec.SECP256R1()).sign(b"x", ec.ECDSA(hashes.SHA256()))


def cffi_callbacks():
    import cffi

    ffi = cffi.FFI()
    ffi.cdef("void qsort(void *, size_t, size_t, int (*)(const void *, const void *));")
    libc = ffi.dlopen(None)
    numbers = ffi.new("int[3]", [3, 1, 2])

    @ffi.callback("int(const void *, const void *)")
    def compare(a, b):
        return ffi.cast("int *", a)[0] - ffi.cast("int *", b)[0]

    libc.qsort(numbers, 3, ffi.sizeof("int"), compare)
    assert list(numbers) == [1, 2, 3]


def texts():
    import jinja2
    import orjson
    import yaml

    assert orjson.loads(orjson.dumps({"a": [1, None]})) == {"a": [1, None]}
    assert yaml.safe_load(yaml.safe_dump({"a": [1, None]})) == {"a": [1, None]}
    assert jinja2.Environment(autoescape=True).from_string("{{ a }}").render(a="<") == "&lt;"


def xml_and_pictures():
    from lxml import etree
    from PIL import Image

    assert etree.fromstring("<a><b/></a>").xpath("count(//b)") == 1
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), "red").resize((16, 16)).save(stream, "PNG")
    assert Image.open(io.BytesIO(stream.getvalue())).size == (16, 16)


WORK = (cryptography_keys, cffi_callbacks, texts, xml_and_pictures)
