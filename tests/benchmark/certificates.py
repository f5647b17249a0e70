"""What libvirt's encrypted moves need: an authority, and one certificate of it for both ends."""
from lab import run


def make_certificates(directory, addresses):
    """Both hosts have the one key, which ends with the lab."""
    directory.mkdir()
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    run(*new, "-keyout", directory / "ca-key.pem", "-out", directory / "ca-cert.pem", "-subj", "/CN=authority")
    names = ",".join(f"IP:{address}" for address in addresses)
    run(*new, "-keyout", directory / "server-key.pem", "-out", directory / "server-cert.pem", "-subj", "/CN=host",
        "-CA", directory / "ca-cert.pem", "-CAkey", directory / "ca-key.pem", "-addext", f"subjectAltName={names}",
        "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth,clientAuth")
    (directory / "server-key.pem").chmod(0o644)  # guests' user reads it
    for kind in ("key", "cert"):
        (directory / f"client-{kind}.pem").symlink_to(f"server-{kind}.pem")
    return directory
