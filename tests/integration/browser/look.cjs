"use strict";
// Looks at a page as people do: at three sizes, light and dark, with its tables filtered, and on paper.
// node look.cjs <playwright-core> <axe-core> <chromium> <page> <folder for what it shows>; prints JSON.
const fs = require("fs");
const path = require("path");
const [playwright, axe, executablePath, file, folder] = process.argv.slice(2);
const { chromium } = require(playwright);
const QUIET = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

const look = async (page) => {
  const found = { looks: {}, filtered: [], tabs: [], hidden: 0, pdf: 0 };
  for (const scheme of ["light", "dark"]) {
    for (const width of [375, 1280, 1920]) {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme: scheme });
      await page.screenshot({ path: path.join(folder, `${width}-${scheme}.png`), fullPage: true });
      const { violations } = await page.evaluate("axe.run()");
      found.looks[`${width} ${scheme}`] = {
        wider: await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"),
        violations: violations.map((one) => `${one.impact} ${one.id}: ${one.nodes[0].html.slice(0, 200)}`),
      };
    }
  }
  const shown = () => page.evaluate(
    "[...document.querySelectorAll('.panel:not([hidden]) tbody tr')].filter((row) => !row.hidden).length",
  );
  for (const tab of await page.getByRole("tab").all()) {
    await tab.click();
    const before = await shown();
    await page.locator(".panel:not([hidden]) input").fill("-7.png");
    const after = await shown();
    found.filtered.push([before, after, await page.locator(".panel:not([hidden]) output").textContent()]);
    await page.locator(".panel:not([hidden]) input").fill("");
    found.tabs.push(await tab.textContent());
  }
  await page.getByRole("tab").first().focus();
  await page.keyboard.press("ArrowRight");
  found.byKey = await page.locator("[role=tab][aria-selected=true]").textContent();
  await page.emulateMedia({ media: "print" });
  found.hidden = await page.locator(".panel:visible").count();
  const pdf = path.join(folder, "page.pdf");
  await page.pdf({ path: pdf, format: "A4" });
  found.pdf = fs.statSync(pdf).size;
  return found;
};

(async () => {
  const profile = fs.mkdtempSync(path.join(folder, "profile-"));
  const context = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args: QUIET });
  try {
    const said = [];
    const asked = [];
    const page = await context.newPage();
    page.on("console", (message) => said.push(message.text()));
    page.on("pageerror", (error) => said.push(error.message));
    page.on("request", (request) => asked.push(request.url().split(":")[0]));
    await page.goto(`file://${file}`);
    await page.evaluate(fs.readFileSync(path.join(axe, "axe.min.js"), "utf8"));
    const found = await look(page);
    process.stdout.write(JSON.stringify({ ...found, said, asked: [...new Set(asked)] }));
  } finally {
    await context.close();
    fs.rmSync(profile, { recursive: true, force: true });
  }
})();
