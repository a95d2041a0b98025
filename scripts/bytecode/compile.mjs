/**
 * Compiles Python packages for Lambda: `node compile.mjs VERSION FOLDER`.
 *
 * Bytecode is of one Python version, and the machine that deploys rarely has the functions'. Pyodide
 * is that version (its own begins with it: 314 is 3.14), on every machine that has Node, and gives
 * the same bytes on all of them. Bytecode does not depend on the processor.
 *
 * Python would compare the time of the source with the one that it finds in Lambda, which is another.
 * So the bytecode is marked as one that nobody has to compare.
 */

import { loadPyodide } from "pyodide";

const [, , version, folder] = process.argv;
const python = await loadPyodide({ env: { PYTHONHASHSEED: "0" } });

// Where Lambda unpacks a layer: tracebacks name it.
const where = "/opt/python";
python.FS.mkdirTree(where);
python.FS.mount(python.FS.filesystems.NODEFS, { root: folder }, where);
const problem = python.runPython(`
import compileall
import sys
from py_compile import PycInvalidationMode

def problem(version, where):
    found = ".".join(map(str, sys.version_info[:2]))
    if found != version:
        return f"Pyodide is Python {found}, the functions' is {version}"
    compiled = compileall.compile_dir(
        where, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
    )
    return None if compiled else "some packages do not compile"

problem(${JSON.stringify(version)}, ${JSON.stringify(where)})
`);
if (problem) {
  console.error(problem);
  process.exit(1);
}
