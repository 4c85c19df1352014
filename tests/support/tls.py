"""Self-signed certificates, made by the openssl program."""
import os
import subprocess


def certificate(directory, name="localhost", stem="server"):
    """Writes a key and a certificate for 127.0.0.1 that holds for a day; returns their two paths."""
    cert = os.path.join(directory, stem + "-cert.pem")
    key = os.path.join(directory, stem + "-key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "1", "-subj", "/CN=" + name, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key
