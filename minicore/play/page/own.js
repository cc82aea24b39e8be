// The user's own images: open one, learn from a folder of good ones, or use the camera live.

import { withoutAlpha } from "./draw.js";
import { word } from "./words.js";

const FRAMES = 20; // good frames to collect from the camera
const PAUSE = 150; // milliseconds between two of them

export function own(app) {
  const element = (id) => document.getElementById(id);
  const video = element("video");
  let collected = []; // pixels of good images
  let note = ["ownHelp"]; // [key, values] of the text under the buttons

  function write(key, values = {}) {
    note = [key, values];
    element("own-note").textContent = word(...note);
    element("collected").textContent = collected.length ? word("collected", { n: collected.length }) : "";
    element("learn").disabled = collected.length < 2;
  }

  /** The pixels of a picture or video as the network sees them: the central square, resized. */
  function crop(picture, width, height) {
    const [rows, columns] = app.scene.values.size;
    const canvas = document.createElement("canvas");
    canvas.width = columns;
    canvas.height = rows;
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    const scale = Math.max(columns / width, rows / height);
    context.drawImage(picture, (columns - scale * width) / 2, (rows - scale * height) / 2, scale * width, scale * height);
    return withoutAlpha(context.getImageData(0, 0, columns, rows).data);
  }

  async function read(file) {
    const picture = await createImageBitmap(file);
    return crop(picture, picture.width, picture.height);
  }

  element("open-image").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (!file) return;
    stopCamera();
    try {
      app.showImage(await read(file));
      write("ownHelp");
    } catch {
      write("notAnImage", { name: file.name });
    }
  });

  element("open-folder").addEventListener("change", async (event) => {
    const files = [...event.target.files].filter((file) => file.type.startsWith("image/")).slice(0, 200);
    event.target.value = "";
    stopCamera();
    collected = [];
    for (const file of files) {
      try {
        collected.push(await read(file));
      } catch {
        continue; // a file that the browser cannot decode
      }
    }
    write(collected.length < 2 ? "tooFew" : "readyToLearn");
  });

  // --- camera ---

  async function startCamera() {
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
      await video.play();
    } catch {
      write("noCamera");
      return;
    }
    app.live = true;
    element("collect").hidden = false;
    element("camera").setAttribute("aria-pressed", true);
    write("cameraOn");
    showFrame();
  }

  function stopCamera() {
    app.live = false;
    for (const track of video.srcObject?.getTracks() ?? []) track.stop();
    video.srcObject = null;
    element("collect").hidden = true;
    element("camera").setAttribute("aria-pressed", false);
    element("rate").textContent = "";
  }

  function showFrame() {
    if (app.live) app.showImage(crop(video, video.videoWidth, video.videoHeight));
  }

  async function collect() {
    collected = [];
    while (app.live && collected.length < FRAMES) {
      collected.push(crop(video, video.videoWidth, video.videoHeight));
      write("collecting");
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
    write("readyToLearn");
  }

  async function learn() {
    const images = collected;
    collected = [];
    write("learning");
    try {
      await app.learn(images);
      write("learned");
    } catch (error) {
      collected = images;
      write("problem", { message: error.message });
    }
  }

  element("camera").addEventListener("click", () => (app.live ? stopCamera() : startCamera()));
  element("collect").addEventListener("click", collect);
  element("learn").addEventListener("click", learn);

  let before = 0;
  app.on("frame", () => {
    if (!app.live) return;
    const now = performance.now();
    element("rate").textContent = word("rate", { rate: (1000 / (now - before)).toFixed(1) });
    before = now;
    showFrame(); // the next frame, as soon as the numbers of this one are shown
  });
  app.on("scene", () => (element("own").hidden = !app.engine.info.webcam));
  app.on("example", stopCamera);
  app.on("words", () => write(...note));
  write(...note);
}
