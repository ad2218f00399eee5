/* Numbers and times as people read them. */

export const number = x => x == null || Number.isNaN(x) ? "–"
  : Math.abs(x) >= 1000 ? Math.round(x).toLocaleString("en")
  : Number.isInteger(x) ? String(x) : String(+(+x).toPrecision(3));

export function bytes(n) {
  if (n == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  return `${i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[i]}`;
}

export const percent = (x, digits = 0) => `${(100 * x).toFixed(digits)}%`;

/* A score as tables show it: 0.123. */
export const score = x => x == null ? "–" : (+x).toFixed(3);

export function duration(seconds) {
  if (seconds == null) return "–";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round(seconds % 3600 / 60)} min`;
}

export function ago(ms) {
  const seconds = (Date.now() - ms) / 1000;
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} d ago`;
}

export const date = ms => new Date(ms).toLocaleString();
export const plural = (n, word, words = word + "s") => `${number(n)} ${n === 1 ? word : words}`;
