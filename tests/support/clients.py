"""Clients that nobody here wrote, and how to get at them: installed or built if need be, else a reason why not."""
import os
import shutil
import subprocess
import tempfile

from daemon import source_dir

CLIENTS = os.path.join(source_dir(), "tests", "integration", "clients")  # programs that use each library as its README does
NPM_PACKAGES = ["fluent-logger@3.4.1", "@fluent-org/logger@1.0.10"]
PYTHON = "/usr/bin/python3"
GO_LIBRARY = "/usr/share/gocode/src/github.com/fluent/fluent-logger-golang"


def build_dir():
    return os.environ.get("TIDE_BUILD") or "/tmp/tidemark-build"


def node_modules():
    """A folder that has the npm packages, installed into if need be; None with the reason when that cannot be."""
    home = os.environ.get("TIDE_NPM") or os.path.join(build_dir(), "npm")
    modules = os.path.join(home, "node_modules")
    wanted = [os.path.join(modules, name) for name in ("fluent-logger", "@fluent-org/logger")]
    if all(map(os.path.isdir, wanted)):
        return modules, None
    if not shutil.which("node") or not shutil.which("npm"):
        return None, "node or npm is not installed"
    os.makedirs(home, exist_ok=True)
    try:
        done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--prefix", home] + NPM_PACKAGES,
                              capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        return None, "npm install took too long"
    if done.returncode != 0 or not all(map(os.path.isdir, wanted)):
        return None, "npm install failed: " + (done.stderr or done.stdout)[-500:]
    return modules, None


def go_client():
    """clients/main.go as a program, built once for a build folder; None with the reason when that cannot be."""
    if not shutil.which("go"):
        return None, "go is not installed"
    if not os.path.isdir(GO_LIBRARY):
        return None, "golang-github-fluent-fluent-logger-golang-dev is not installed"
    home = os.path.join(build_dir(), "go-client")
    source, program = os.path.join(CLIENTS, "main.go"), os.path.join(home, "send_go")
    if os.path.exists(program) and os.path.getmtime(program) > os.path.getmtime(source):
        return program, None
    os.makedirs(home, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as fresh:  # two tests may do this at the same time
        made = os.path.join(fresh, "send_go")
        environment = dict(os.environ, GO111MODULE="off", GOPATH="/usr/share/gocode", GOFLAGS="", GOPROXY="off",
                           GOCACHE=os.path.join(home, "gocache"))
        built = subprocess.run(["go", "build", "-p", "2", "-o", made, source], capture_output=True, text=True,
                               env=environment, timeout=300)
        if built.returncode != 0:
            raise AssertionError(built.stderr)
        os.rename(made, program)
    return program, None


def skip_without(test, found, reason):
    """Skips the test, visibly, when what it needs could not be got."""
    if found is None:
        print("SKIPPED: " + reason, flush=True)
        test.skipTest(reason)
