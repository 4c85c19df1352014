"""A folder of files that a configuration or a command line names: keys, users, certificates."""
import os
import shutil
import subprocess
import tempfile


class Scratch:
    def __init__(self, prefix="tidemark-scratch-"):
        self.path = tempfile.mkdtemp(prefix=prefix)

    def write(self, name, content):
        """Replaced in one step, for its owner only; its path."""
        path = os.path.join(self.path, name)
        with open(path + ".new", "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
        os.rename(path + ".new", path)
        return path

    def certificate(self, name, *more):
        """A self-signed certificate and its key; their paths."""
        key, cert = os.path.join(self.path, name + ".key"), os.path.join(self.path, name + ".pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-subj", "/CN=" + name, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                        "-days", "2", "-keyout", key, "-out", cert] + list(more), check=True, capture_output=True)
        return cert, key

    def close(self):
        shutil.rmtree(self.path, ignore_errors=True)
