// All texts of the page, in English and Korean. {name} is replaced by a value.

const WORDS = {
  playground: ["playground", "놀이터"],
  tagline: ["Draw a defect. PatchCore computes every equation while you draw.", "결함을 그려 보세요. 그리는 동안 PatchCore가 모든 수식을 계산합니다."],
  skip: ["Skip to the equations", "수식으로 건너뛰기"],
  part: ["Part", "부품"],
  engine: ["Engine", "엔진"],
  engineFast: ["fast", "빠름"],
  engineEquations: ["equations (slow)", "수식 그대로 (느림)"],
  tour: ["Guided tour", "둘러보기"],
  problem: ["There is a problem: {message}", "문제가 생겼습니다: {message}"],

  opening: ["Learning from good images …", "정상 이미지로 학습하는 중 …"],
  imageTitle: ["Image", "이미지"],
  good: ["Good", "정상"],
  defective: ["Defective", "결함"],
  scoreAndThreshold: ["score {score}, threshold {threshold}", "점수 {score}, 임계값 {threshold}"],
  scoreOnly: ["score {score}", "점수 {score}"],
  falseAlarm: ["This image is good: a false alarm.", "이 이미지는 정상입니다. 잘못된 경보입니다."],
  missed: ["This image has a defect. The model misses it.", "이 이미지에는 결함이 있지만 모델이 찾지 못했습니다."],
  example: ["Example", "예시"],
  exampleGood: ["good example", "정상 예시"],
  exampleDefective: ["defective example", "결함 예시"],
  exampleTraining: ["training image", "학습 이미지"],
  exampleBack: ["Previous example", "이전 예시"],
  exampleNext: ["Next example", "다음 예시"],
  imageLabel: ["Image to paint on", "그림을 그릴 이미지"],
  imageHelp: [
    "Draw with mouse or finger. Keys: the arrows choose a patch, Space draws there.",
    "마우스나 손가락으로 그리세요. 키보드: 화살표로 패치를 고르고 스페이스로 그립니다.",
  ],
  imageLegend: [
    "Square: the patch with the largest distance. White line: where the map is above its threshold, {threshold}.",
    "사각형: 거리가 가장 큰 패치. 흰 선: 지도가 임계값 {threshold}보다 큰 곳.",
  ],
  copyHelp: ["Press on the piece to copy, and drag it to its new place.", "복사할 곳을 누른 채 붙일 곳까지 끌어 보세요."],
  tools: ["Tool", "도구"],
  tool_scratch: ["Scratch", "긁기"],
  tool_brush: ["Brush", "붓"],
  tool_spot: ["Spot", "얼룩"],
  tool_smear: ["Smear", "문지르기"],
  tool_copy: ["Copy", "복사"],
  tool_eraser: ["Eraser", "지우개"],
  colour: ["Colour", "색"],
  size: ["Size", "크기"],
  turnLeft: ["Turn left by 5 degrees", "왼쪽으로 5도 돌리기"],
  turnRight: ["Turn right by 5 degrees", "오른쪽으로 5도 돌리기"],
  darker: ["Darker", "어둡게"],
  brighter: ["Brighter", "밝게"],
  undo: ["Undo", "실행 취소"],
  redo: ["Redo", "다시 실행"],
  reset: ["Reset", "초기화"],
  showMap: ["Anomaly map", "이상 지도"],
  sigmaName: ["smoothing", "부드럽게"],

  own: ["Your own images", "내 이미지"],
  ownPart: ["own images", "내 이미지"],
  openImage: ["Open an image", "이미지 열기"],
  openFolder: ["Folder of good images", "정상 이미지 폴더"],
  camera: ["Camera", "카메라"],
  collect: ["Collect 20 good frames", "정상 프레임 20장 모으기"],
  ownHelp: ["Two or more good images are needed. Then press “Learn”.", "정상 이미지가 두 장 이상 필요합니다. 그다음 “학습”을 누르세요."],
  learn: ["Learn", "학습"],
  collected: ["{n} good images.", "정상 이미지 {n}장."],
  rate: ["{rate} frames per second.", "초당 {rate} 프레임."],
  cameraOn: ["Show good parts to the camera and collect frames.", "카메라에 정상 부품을 비추고 프레임을 모으세요."],
  collecting: ["Move the part a little while the frames are collected.", "프레임을 모으는 동안 부품을 조금씩 움직이세요."],
  readyToLearn: ["Now press “Learn”.", "이제 “학습”을 누르세요."],
  learning: ["Learning …", "학습 중 …"],
  learned: ["The model has learned your images. Now show it a defect.", "모델이 이미지를 학습했습니다. 이제 결함을 보여 주세요."],
  tooFew: ["This folder has fewer than two images that the browser can read.", "이 폴더에는 브라우저가 읽을 수 있는 이미지가 두 장보다 적습니다."],
  notAnImage: ["The browser cannot read {name}.", "브라우저가 {name} 파일을 읽을 수 없습니다."],
  noCamera: ["No camera is available. A folder of good images works the same.", "사용할 수 있는 카메라가 없습니다. 정상 이미지 폴더로도 똑같이 할 수 있습니다."],

  equations123: ["Equations 1–3", "수식 1–3"],
  patchesTitle: ["From pixels to patch features", "픽셀에서 패치 특징으로"],
  patchesText: [
    "A network computes feature maps: a vector at each position. A patch feature is the mean of the vectors in a small square around a position (equations 1 and 2), joined over the levels of the network (equation 3). Point at the image to see one patch.",
    "신경망은 특징 맵, 곧 위치마다 벡터 하나를 계산합니다. 패치 특징은 한 위치를 둘러싼 작은 사각형 안의 벡터를 평균하고(수식 1, 2), 신경망의 두 계층에서 얻은 것을 이어 붙인 것입니다(수식 3). 이미지 위에 마우스를 올리면 패치 하나가 보입니다.",
  ],
  levels: ["levels", "계층"],
  sName: ["stride", "스트라이드"],
  pName: ["neighbourhood", "이웃 크기"],
  cutoutCaption: ["Patch in row {row}, column {column} (from 0)", "{row}행 {column}열의 패치(0부터)"],
  levelCaption: ["{name}: {height} × {width} positions, {channels} channels", "{name}: {height} × {width}개 위치, {channels}개 채널"],
  levelsNote: ["Similar vectors have similar colours.", "비슷한 벡터는 색이 비슷합니다."],
  receptive: [
    "Receptive field of {name}: {side} × {side} pixels (dashed while you point).",
    "{name}의 수용 영역: {side} × {side} 픽셀(가리키는 동안 점선).",
  ],
  receptiveImage: ["Receptive field of {name}: larger than the image.", "{name}의 수용 영역: 이미지보다 큽니다."],
  featureCaption: [
    "Patch feature: {dimension} numbers, one bar each; the colour is that of the level",
    "패치 특징: 숫자 {dimension}개, 막대 하나가 숫자 하나. 색은 계층의 색",
  ],

  whitenedCaption: [
    "Whitened patch feature: {dimension} numbers, one bar each",
    "백색화한 패치 특징: 숫자 {dimension}개, 막대 하나가 숫자 하나",
  ],

  equations45: ["Equations 4, 5", "수식 4, 5"],
  bankTitle: ["Memory bank and coreset", "메모리 뱅크와 코어셋"],
  bankText: [
    "The memory bank ℳ holds the patch features of all good training images. The coreset keeps a few of them, chosen so that every good patch is close to one of them. The picture shows them in the two directions of largest variance.",
    "메모리 뱅크 ℳ은 모든 정상 학습 이미지의 패치 특징을 담습니다. 코어셋은 모든 정상 패치가 그중 하나와 가깝도록 일부만 골라 남긴 것입니다. 그림은 분산이 가장 큰 두 방향으로 그렸습니다.",
  ],
  bankLabel: ["Memory bank, coreset and patches of this image in two dimensions", "2차원으로 그린 메모리 뱅크, 코어셋, 이 이미지의 패치"],
  share: ["Coreset", "코어셋"],
  shareValue: ["{percent} % ({rows} of {all})", "{percent} % ({all}개 중 {rows}개)"],
  picks: ["Pick one by one", "하나씩 고르기"],
  fly: ["Move this image in", "이 이미지 옮겨 오기"],
  randomPicks: ["compare with random picks (the score stays the same)", "무작위 선택과 비교 (점수는 그대로)"],
  legendAll: ["all good patches", "모든 정상 패치"],
  legendPicks: ["coreset", "코어셋"],
  legendThis: ["this image", "이 이미지"],
  legendFar: ["this image, unusual", "이 이미지, 정상과 다름"],
  legendPair: ["the shown patch and its nearest good patch", "보이는 패치와 가장 가까운 정상 패치"],
  legendRandom: ["random picks", "무작위 선택"],
  radiusText: [
    "Covering radius: the largest distance of a good patch to the coreset. Equation 5 chooses the patches that make this radius small.",
    "커버링 반경: 정상 패치에서 코어셋까지의 가장 큰 거리. 수식 5는 이 반경이 작아지도록 패치를 고릅니다.",
  ],
  radiusLabel: ["Covering radius {radius} with {rows} patches", "패치 {rows}개일 때 커버링 반경 {radius}"],
  radiusAxis: ["covering radius", "커버링 반경"],
  radiusPicks: ["number of patches (logarithmic)", "패치 수(로그 눈금)"],
  radiusGreedy: ["coreset {radius}", "코어셋 {radius}"],
  radiusRandom: ["random {radius}", "무작위 {radius}"],

  equation6: ["Equation 6", "수식 6"],
  nearestTitle: ["The nearest good patch", "가장 가까운 정상 패치"],
  nearestText: [
    "For each patch of the image, the search finds the most similar good patch. It searches the coreset, which takes the place of ℳ. The distance is large where the image differs from all good images. The largest distance is s*.",
    "이미지의 패치마다 가장 비슷한 정상 패치를 찾습니다. ℳ 대신 코어셋에서 찾습니다. 정상 이미지와 다른 곳에서 거리가 큽니다. 가장 큰 거리가 s*입니다.",
  ],
  gridLabel: ["Grid of distances. The arrow keys choose a patch.", "거리 격자. 화살표 키로 패치를 고릅니다."],
  thisPatch: ["Patch of this image (row {row}, column {column})", "이 이미지의 패치: {row}행 {column}열"],
  decidingPatch: ["Patch with the largest distance (row {row}, column {column})", "거리가 가장 큰 패치: {row}행 {column}열"],
  goodPatch: ["Nearest good patch (row {row}, column {column})", "가장 가까운 정상 패치: {row}행 {column}열"],
  trainingImage: ["in training image {number}", "학습 이미지 {number}번"],
  trainingMissing: ["in training image {number}, which is not available here", "학습 이미지 {number}번 (여기에는 없음)"],
  turnedImage: ["in training image {number}, turned by {angle}°", "{angle}° 돌린 학습 이미지 {number}번"],
  distance: ["Distance {distance}.", "거리 {distance}."],
  largest: ["This is s*, the largest distance of this image.", "이 이미지에서 가장 큰 거리 s*입니다."],

  equation7: ["Equation 7", "수식 7"],
  scoreTitle: ["The score of the image", "이미지의 점수"],
  scoreText: [
    "The weight depends on the distances from the deciding patch to m* and to the patches nearest to m*: it is 1 minus the share of m*. The score is the weight times s*. An image whose score is above the threshold is defective.",
    "가중치는 거리가 가장 큰 패치에서 m*까지의 거리와 m*에 가까운 패치들까지의 거리로 정해집니다. 1에서 m*의 몫을 뺀 값입니다. 점수는 가중치에 s*를 곱한 값입니다. 점수가 임계값보다 큰 이미지는 결함입니다.",
  ],
  scoreTextTop: [
    "The score is the mean of the {top} largest distances: those of 1 % of the patches. This model does not use equation 7. An image whose score is above the threshold is defective.",
    "점수는 가장 큰 거리 {top}개, 곧 패치 1%의 거리를 평균한 값입니다. 이 모델은 수식 7을 쓰지 않습니다. 점수가 임계값보다 큰 이미지는 결함입니다.",
  ],
  headShare: ["share of Σ exp", "Σ exp 중 몫"],
  headDistance: ["distance to the patch", "패치까지 거리"],
  bName: ["number of neighbours", "이웃 수"],
  scoreNumbers: [
    "s = (1 − {quotient}) · {distance} = {weight} · {distance} = {score}",
    "s = (1 − {quotient}) · {distance} = {weight} · {distance} = {score}",
  ],
  scoreNumbersTop: ["s = {score} (s* = {distance})", "s = {score} (s* = {distance})"],
  histogramText: [
    "Bars: scores of {n} good images, each computed without its own rows of the memory bank. The threshold follows from them. Marker: this image. Its p-value is {p}: this share of good images would score higher.",
    "막대: 정상 이미지 {n}개의 점수. 각 점수는 그 이미지의 행을 뺀 메모리 뱅크로 계산합니다. 임계값은 여기서 정해집니다. 표시: 이 이미지. p값 {p}: 정상 이미지 중 이 비율만큼이 더 높은 점수를 받습니다.",
  ],
  histogramLabel: [
    "Histogram of the scores of {n} good images. This image: {score}.",
    "정상 이미지 {n}개의 점수 분포. 이 이미지: {score}.",
  ],
  thresholdAt: ["threshold {threshold}", "임계값 {threshold}"],
  scoreAt: ["this image {score}", "이 이미지 {score}"],

  loading: ["Loading: {done} of {total} MB", "불러오는 중: {done} / {total} MB"],
  fittingPatches: ["Equations 1–4: patch features of the good images …", "수식 1–4: 정상 이미지의 패치 특징 …"],
  fittingCoreset: ["Equation 5: coreset …", "수식 5: 코어셋 …"],
  fittingThresholds: ["Thresholds …", "임계값 …"],
  milliseconds: ["{ms} ms an image", "이미지당 {ms} ms"],
  time_network: ["network {ms} ms", "신경망 {ms} ms"],
  time_eq123: ["equations {ms} ms", "수식 {ms} ms"],
  time_eq6: ["{ms} ms", "{ms} ms"],
  time_eq7: ["{ms} ms", "{ms} ms"],
  time_map: ["map {ms} ms", "지도 {ms} ms"],
  sourceOf: ["Source code {file}", "소스 코드 {file}"],

  tourStep: ["Step {step} of {steps}", "{steps}단계 중 {step}단계"],
  back: ["Back", "뒤로"],
  next: ["Next", "다음"],
  finish: ["Finish", "끝내기"],
  close: ["Close", "닫기"],
  tour1: ["This part is good, and the model has seen only good parts.", "이 부품은 정상입니다. 모델은 정상 부품만 보고 배웠습니다."],
  tour2: [
    "We drew a scratch, and the anomaly map now shows where the image is unusual.",
    "긁힌 자국을 하나 그렸습니다. 이상 지도는 이미지가 정상과 다른 곳을 보여 줍니다.",
  ],
  tour3: ["Equations 1 to 3 describe each position of the image by one vector, the patch feature.", "수식 1~3은 이미지의 각 위치를 하나의 벡터, 곧 패치 특징으로 나타냅니다."],
  tour4: [
    "Equations 4 and 5 store the patch features of all good images and keep a small coreset of them.",
    "수식 4와 5는 모든 정상 이미지의 패치 특징을 모으고 작은 코어셋만 남깁니다.",
  ],
  tour5: [
    "Equation 6 finds the nearest good patch of each patch, and the largest of these distances is s*.",
    "수식 6은 각 패치에서 가장 가까운 정상 패치를 찾습니다. 이 거리 중 가장 큰 것이 s*입니다.",
  ],
  tour6: [
    "Equation 7 multiplies s* by a weight, and the result is the score of the image.",
    "수식 7은 s*에 가중치를 곱하고, 그 결과가 이미지의 점수입니다.",
  ],
  tour6Top: [
    "The score of the image is the mean of the {top} largest distances.",
    "이미지의 점수는 가장 큰 거리 {top}개의 평균입니다.",
  ],
  tour7: [
    "The part is defective because its score is above the threshold: press “Undo”, and the score falls.",
    "점수가 임계값보다 크므로 이 부품은 결함입니다. “실행 취소”를 누르면 점수가 내려갑니다.",
  ],
};

const LANGUAGES = ["en", "ko"];
let current = navigator.language?.startsWith("ko") ? "ko" : "en";

/** The language of the page; with an argument, change it. */
export function language(name) {
  if (name) current = name;
  return current;
}

/** A text in the language of the page. */
export function word(key, values = {}) {
  return WORDS[key][LANGUAGES.indexOf(current)].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** Words for a training image; the number counts the turned copies of all training images. */
export function trainingImage(scene, number) {
  const { angles } = scene.values;
  const angle = angles[number % angles.length];
  return word(angle ? "turnedImage" : "trainingImage", { number: Math.floor(number / angles.length), angle });
}

/** Write the texts of all elements with data-word, data-word-label or data-word-title. */
export function translate(root) {
  document.documentElement.lang = current;
  for (const element of root.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  for (const element of root.querySelectorAll("[data-word-label]")) element.setAttribute("aria-label", word(element.dataset.wordLabel));
  for (const element of root.querySelectorAll("[data-word-title]")) element.title = word(element.dataset.wordTitle);
}
