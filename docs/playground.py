"""Write the playground into the built site, for browsers without minicore.

    npm install onnxruntime-web@1.30.0
    python docs/playground.py docs/_build/html/playground node_modules/onnxruntime-web

It takes less than a minute. Any web server can offer the folder; it needs no other server.
"""

import sys

from minicore.play.static_site import write_site

if __name__ == "__main__":
    folder, onnxruntime_web = sys.argv[1:]
    write_site(folder, onnxruntime_web)
