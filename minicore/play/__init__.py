"""The playground: a page in the browser where every equation computes while the user paints.

The page (`page/`) draws and asks, and an engine computes. Here is the local engine: a server on
this computer, which `minicore play` starts. It returns the numbers of `PatchCore.detect`.

    prepare(model, training) -> Scene          all that does not depend on the image
    frame(scene, pixels, ...) -> Message       everything that one image gives
"""

from minicore.play.frame import frame
from minicore.play.message import Message
from minicore.play.scene import Scene, prepare

__all__ = ["Message", "Scene", "frame", "prepare"]
