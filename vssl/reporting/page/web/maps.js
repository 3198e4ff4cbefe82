"use strict";
// Localization maps from native similarity maps, and what is marked above a threshold: the
// arithmetic of vssl/maps.py, vssl/kernels.py and vssl/metrics, in float32 where vssl has float32.
const vsslMaps = (() => {
  const f32 = Math.fround;
  const EPSILON = 2 ** -23; // of float32

  /** For each of `size` pixels: the cells before and behind it, and their weights. */
  function places(cells, size, rule) {
    const before = new Int32Array(size), behind = new Int32Array(size);
    const near = new Float32Array(size), far = new Float32Array(size);
    const corners = f32(f32(cells - 1) / f32(Math.max(size - 1, 1)));
    const step = f32(f32(cells) / f32(size));
    for (let p = 0; p < size; p++) {
      let place = p;
      if (cells !== size) {
        if (rule === "opencv") {
          place = Math.min(Math.max((p + 0.5) * (cells / size) - 0.5, 0), cells - 1);
        } else if (rule === "align_corners") {
          place = f32(p * corners);
        } else {
          place = f32(Math.max(step * (p + 0.5) - 0.5, 0));
        }
      }
      before[p] = Math.min(Math.floor(place), cells - 1);
      behind[p] = Math.min(before[p] + 1, cells - 1);
      far[p] = Math.min(Math.max(place - before[p], 0), 1);
      near[p] = 1 - far[p];
    }
    return { before, behind, near, far };
  }

  /** Upsample a native map (row-major, height x width) bilinearly to size x size. */
  function upsample(cells, height, width, size, rule) {
    if (height === size && width === size) return Float32Array.from(cells);
    const rows = places(height, size, rule), columns = places(width, size, rule);
    const fused = rule === "opencv";
    const between = fused
      ? (a, b, near, far) => f32(f32(b - a) * far + a)
      : (a, b, near, far) => f32(a * near + f32(b * far));
    const wide = new Float32Array(height * size), result = new Float32Array(size * size);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < size; x++) {
        const a = cells[y * width + columns.before[x]], b = cells[y * width + columns.behind[x]];
        wide[y * size + x] = between(a, b, columns.near[x], columns.far[x]);
      }
    }
    for (let y = 0; y < size; y++) {
      const top = rows.before[y] * size, bottom = rows.behind[y] * size;
      for (let x = 0; x < size; x++) {
        result[y * size + x] = between(wide[top + x], wide[bottom + x], rows.near[y], rows.far[y]);
      }
    }
    return result;
  }

  /** Lowest and highest value; NaN where there is one. */
  function extremes(map) {
    let low = Infinity, high = -Infinity;
    for (const value of map) {
      if (Number.isNaN(value)) return [NaN, NaN];
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return [low, high];
  }

  /** Stretch a map to [0, 1] by its own extremes; a constant map becomes 0. */
  function stretch(map) {
    const [low, high] = extremes(map), span = f32(high - low);
    if (!Number.isFinite(span)) return map.map(() => NaN);
    if (span <= 4 * EPSILON * Math.max(Math.abs(low), Math.abs(high))) return map.map(() => 0);
    return map.map((value) => f32(f32(value - low) / span));
  }

  /** RCGrad's post-processing: stretched, and 0 below the median of its pixels. */
  function stretchAndClip(map) {
    const stretched = stretch(map);
    const median = Float32Array.from(stretched).sort()[Math.floor(stretched.length / 2)];
    return stretched.map((value) => (value < median ? 0 : value));
  }

  /** alpha * audio-visual + (1 - alpha) * object, the former brought from [low, high] to [0, 1]. */
  function objectGuided(map, object, { alpha, low = 0, high = 1 }) {
    const own = f32(alpha), rest = f32(1 - alpha), span = f32(high - low), bottom = f32(low);
    const scaled = low === 0 && high === 1 ? (v) => v : (v) => f32(f32(v - bottom) / span);
    return map.map((value, p) => f32(f32(own * scaled(value)) + f32(rest * object[p])));
  }

  /** The localization map of a native map, as `Localization.maps` makes it. */
  function localize(model, condition, native, object, variant, size) {
    const { height, width, upsampling, transform, prior, range } = model;
    let map = upsample(native, height, width, size, upsampling[condition]);
    if (transform === "stretch_and_clip") map = stretchAndClip(map);
    if (variant !== "ogl" || !prior) return map;
    const seen = prior.corrected ? stretch(object) : object;
    const [low, high] = prior.corrected ? range : [0, 1];
    // by the positive's rule under every condition, as vssl does
    const large = upsample(seen, prior.side, prior.side, size, upsampling.positive);
    return objectGuided(map, large, { alpha: prior.alpha, low, high });
  }

  /** 1 inside a mask, from base64 of the 16-bit places where its pixels, row by row, change. */
  function decodeMask(text, size) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const mask = new Uint8Array(size * size);
    for (let n = 0; n < bytes.length; n += 2) {
      mask.fill((n / 2 + 1) % 2, bytes[n] + 256 * bytes[n + 1]);
    }
    return mask;
  }

  /** Weight of the ground truth at each pixel, from boxes, masks and their weights. */
  function groundTruth(boxes, weights, size, masks = [], maskWeights = []) {
    const truth = new Float32Array(size * size);
    masks.forEach((text, k) => decodeMask(text, size).forEach((inside, p) => { truth[p] += maskWeights[k] * inside; }));
    boxes.forEach(([x0, y0, x1, y1], k) => {
      for (let y = y0; y < Math.min(y1, size); y++) {
        for (let x = x0; x < Math.min(x1, size); x++) truth[y * size + x] += weights[k];
      }
    });
    return truth.map((weight) => Math.min(weight, 1));
  }

  /** pIA and cIoU of what lies strictly above a threshold; NaN where undefined. */
  function measure(map, truth, threshold) {
    const level = f32(threshold);
    let marked = 0, covered = 0, beside = 0, total = 0;
    for (let p = 0; p < map.length; p++) {
      total += truth[p];
      if (Number.isNaN(map[p])) return { pia: NaN, ciou: NaN };
      if (map[p] > level) {
        marked++;
        covered += truth[p];
        if (truth[p] === 0) beside++;
      }
    }
    return { pia: marked / map.length, ciou: covered / (total + beside) };
  }

  return {
    f32, places, upsample, extremes, stretch, stretchAndClip, objectGuided, localize, decodeMask, groundTruth,
    measure,
  };
})();
