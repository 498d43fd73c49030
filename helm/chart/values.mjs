// values.yaml with its comments: what each value means.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const CHART = join(ROOT, "helm/roomcast");
// The one reader of YAML that is here already.
const { isMap, parse, parseAllDocuments, parseDocument, stringify } = createRequire(join(ROOT, "tests/js/"))("yaml");
export { parse, parseAllDocuments, stringify };

/** A comment as paragraphs; one that begins with `# ` is the heading of a section. */
const paragraphs = (comment) => comment.split(/\n\s*\n/).map((block) => block.replace(/^ /gm, "").trim()).filter(Boolean);

/**
 * Every value in the order of the page: its path, what it means, its default, and the heading that it is below. A map with keys
 * comes before them.
 */
export function documented() {
  const document = parseDocument(readFileSync(join(CHART, "values.yaml"), "utf8"));
  const found = [];
  let heading = "";
  const visit = (map, path, first) => {
    map.items.forEach((pair, index) => {
      const comment = [index === 0 && first, pair.key.commentBefore].filter(Boolean).join("\n\n");
      const means = [];
      for (const paragraph of paragraphs(comment)) {
        if (paragraph.startsWith("# ")) {
          heading = paragraph.slice(2);
          means.length = 0;
        } else means.push(paragraph);
      }
      const at = [...path, pair.key.value];
      const inner = isMap(pair.value) && pair.value.items.length > 0;
      const json = pair.value?.toJSON?.() ?? null;
      found.push({ path: at, means: (means.at(-1) ?? "").replace(/\s*\n\s*/g, " "), heading, value: json, inner });
      if (inner) visit(pair.value, at, pair.value.commentBefore);
    });
  };
  visit(document.contents, [], [document.commentBefore, document.contents.commentBefore].filter(Boolean).join("\n\n"));
  return found;
}
