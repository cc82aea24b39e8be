// All texts of the page, in English and Korean. {name} is replaced by a value.

const WORDS = {
  playground: ["playground", "놀이터"],
  tagline: ["Draw a defect. PatchCore computes every equation while you draw.", "결함을 그려 보세요. 그리는 동안 PatchCore가 모든 수식을 계산합니다."],
  skip: ["Skip to the equations", "수식으로 건너뛰기"],
  part: ["Part", "부품"],
  engine: ["Engine", "엔진"],
  engineFast: ["fast", "빠름"],
  engineEquations: ["equations", "수식 그대로"],
  tour: ["Guided tour", "둘러보기"],
  problem: ["There is a problem: {message}", "문제가 생겼습니다: {message}"],

  opening: ["Learning the good part …", "정상 부품을 학습하는 중 …"],
  imageTitle: ["Image", "이미지"],
  good: ["Good", "정상"],
  defective: ["Defective", "결함"],
  scoreAndThreshold: ["score {score}, threshold {threshold}", "점수 {score}, 임계값 {threshold}"],
  scoreOnly: ["score {score}", "점수 {score}"],
  example: ["Example", "예시"],
  exampleGood: ["good example", "정상 예시"],
  exampleDefective: ["defective example", "결함 예시"],
  exampleTraining: ["training image", "학습 이미지"],
  exampleBack: ["Previous example", "이전 예시"],
  exampleNext: ["Next example", "다음 예시"],
  imageLabel: ["Image to paint on", "그림을 그릴 이미지"],
  imageHelp: [
    "Draw with mouse or finger. Keys: the arrows choose a patch, Space uses the tool there.",
    "마우스나 손가락으로 그리세요. 키보드: 화살표로 패치를 고르고 스페이스로 도구를 씁니다.",
  ],
  tools: ["Tool", "도구"],
  tool_scratch: ["Scratch", "긁힘"],
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
  reset: ["Reset", "처음으로"],
  showMap: ["Anomaly map", "이상 지도"],

  own: ["Your own images", "내 이미지"],
  ownPart: ["own images", "내 이미지"],
  openImage: ["Open an image", "이미지 열기"],
  openFolder: ["Folder of good images", "정상 이미지 폴더"],
  camera: ["Camera", "카메라"],
  collect: ["Collect 20 good frames", "정상 프레임 20장 모으기"],
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
    "A network computes feature maps of the image. Each patch feature is the mean over a small neighbourhood of these maps. Point at the image to see one patch.",
    "신경망이 이미지의 특징 맵을 계산합니다. 패치 특징은 특징 맵의 작은 이웃을 평균한 것입니다. 이미지를 가리키면 패치 하나가 보입니다.",
  ],
  levels: ["levels", "레벨"],
  cutoutCaption: [
    "Patch at row {row}, column {column}, and its neighbourhood in each level",
    "{row}행 {column}열의 패치와 각 레벨에서의 이웃",
  ],
  levelCaption: ["{name}: {height} × {width} positions, {channels} channels", "{name}: {height} × {width}개 위치, {channels}개 채널"],
  receptive: ["Receptive field (dashed): {side} × {side} pixels", "수용 영역(점선): {side} × {side} 픽셀"],
  receptiveImage: ["Receptive field: larger than the image", "수용 영역: 이미지보다 큼"],
  featureCaption: ["Patch feature: {dimension} numbers", "패치 특징: 숫자 {dimension}개"],

  equations45: ["Equations 4, 5", "수식 4, 5"],
  bankTitle: ["Memory bank and coreset", "메모리 뱅크와 코어셋"],
  bankText: [
    "The memory bank holds the patch features of all good training images. The coreset keeps a few of them that are close to all others. Here they are drawn in two dimensions.",
    "메모리 뱅크는 모든 정상 학습 이미지의 패치 특징을 담습니다. 코어셋은 그중 나머지 모두와 가까운 소수만 남깁니다. 여기서는 2차원으로 그렸습니다.",
  ],
  bankLabel: ["Memory bank, coreset and patches of this image in two dimensions", "2차원으로 그린 메모리 뱅크, 코어셋, 이 이미지의 패치"],
  share: ["Coreset", "코어셋"],
  shareValue: ["{percent} % ({rows} of {all})", "{percent} % ({all}개 중 {rows}개)"],
  picks: ["Pick one by one", "하나씩 고르기"],
  fly: ["Patches fly in", "패치 날아오기"],
  randomPicks: ["random picks", "무작위 선택"],
  legendAll: ["all good patches", "모든 정상 패치"],
  legendPicks: ["coreset", "코어셋"],
  legendThis: ["this image", "이 이미지"],
  legendFar: ["this image, above the threshold of the map", "이 이미지, 지도의 임계값 초과"],
  legendRandom: ["random picks", "무작위 선택"],
  radiusText: [
    "Covering radius: the largest distance of a good patch to the coreset. Equation 5 makes it small.",
    "덮개 반지름: 정상 패치에서 코어셋까지의 가장 큰 거리. 수식 5는 이 값을 줄입니다.",
  ],
  radiusLabel: ["Covering radius {radius} with {rows} patches", "패치 {rows}개일 때 덮개 반지름 {radius}"],
  radiusPicks: ["number of patches", "패치 수"],
  radiusGreedy: ["coreset {radius}", "코어셋 {radius}"],
  radiusRandom: ["random {radius}", "무작위 {radius}"],

  equation6: ["Equation 6", "수식 6"],
  nearestTitle: ["The nearest good patch", "가장 가까운 정상 패치"],
  nearestText: [
    "For each patch, the search finds the most similar patch in the coreset. The distance is large where the image is unusual. The patch with the largest distance decides.",
    "패치마다 코어셋에서 가장 비슷한 패치를 찾습니다. 이미지가 평소와 다른 곳에서 거리가 큽니다. 거리가 가장 큰 패치가 결정합니다.",
  ],
  gridLabel: ["Grid of distances. The arrow keys choose a patch.", "거리 격자. 화살표 키로 패치를 고릅니다."],
  thisPatch: ["Patch of this image (row {row}, column {column})", "이 이미지의 패치: {row}행 {column}열"],
  decidingPatch: ["Deciding patch (row {row}, column {column})", "결정 패치: {row}행 {column}열"],
  goodPatch: ["Nearest good patch (row {row}, column {column})", "가장 가까운 정상 패치: {row}행 {column}열"],
  trainingImage: ["in training image {number}", "학습 이미지 {number}번"],
  distance: ["Distance {distance}.", "거리 {distance}."],
  largest: ["This is s*, the largest distance of this image.", "이 이미지에서 가장 큰 거리 s*입니다."],

  equation7: ["Equation 7", "수식 7"],
  scoreTitle: ["The score of the image", "이미지의 점수"],
  scoreText: [
    "The weight compares the deciding patch with the b neighbours of its nearest good patch m*. The score is the weight times s*. An image above the threshold is defective.",
    "가중치는 결정 패치를 가장 가까운 정상 패치 m*의 이웃 b개와 비교합니다. 점수는 가중치에 s*를 곱한 값입니다. 임계값보다 크면 결함입니다.",
  ],
  scoreNumbers: [
    "s = (1 − {quotient}) · {distance} = {weight} · {distance} = {score}",
    "s = (1 − {quotient}) · {distance} = {weight} · {distance} = {score}",
  ],
  histogramText: ["Scores of good training images (bars) and the score of this image.", "정상 학습 이미지의 점수(막대)와 이 이미지의 점수."],
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
  milliseconds: ["{ms} ms", "{ms} ms"], // all stages of one image
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
  tour1: ["This is a good part, and the model has learned only from good parts.", "이것은 정상 부품이고, 모델은 정상 부품만 보고 배웠습니다."],
  tour2: ["We drew a scratch, and the anomaly map shows where the image is unusual: draw another one.", "긁힘을 하나 그렸고, 이상 지도는 이미지가 평소와 다른 곳을 보여 줍니다. 하나 더 그려 보세요."],
  tour3: ["Equations 1 to 3 describe each position of the image by one vector, the patch feature.", "수식 1~3은 이미지의 각 위치를 하나의 벡터, 곧 패치 특징으로 나타냅니다."],
  tour4: ["Equations 4 and 5 store the patch features of good images and keep a small coreset of them.", "수식 4와 5는 정상 이미지의 패치 특징을 저장하고 그중 작은 코어셋만 남깁니다."],
  tour5: ["Equation 6 finds the nearest good patch of each patch, and the largest distance decides.", "수식 6은 각 패치에서 가장 가까운 정상 패치를 찾고, 가장 큰 거리가 결정합니다."],
  tour6: ["Equation 7 multiplies this distance by a weight, and the result is the score of the image.", "수식 7은 이 거리에 가중치를 곱하고, 그 결과가 이미지의 점수입니다."],
  tour7: ["If the score is above the threshold, the part is defective: now erase the scratch and watch it fall.", "점수가 임계값보다 크면 결함입니다. 이제 긁힘을 지우고 점수가 내려가는 것을 보세요."],
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

/** Write the texts of all elements with data-word, data-word-label or data-word-title. */
export function translate(root) {
  document.documentElement.lang = current;
  for (const element of root.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  for (const element of root.querySelectorAll("[data-word-label]")) element.setAttribute("aria-label", word(element.dataset.wordLabel));
  for (const element of root.querySelectorAll("[data-word-title]")) element.title = word(element.dataset.wordTitle);
}
