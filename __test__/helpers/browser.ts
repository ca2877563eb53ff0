/** A headless Chromium, and what a visitor of the Next.js example does with it. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, chromium, type Locator, type Page } from 'playwright-core';

const screenshots = join(__dirname, '../../target/screenshots');

/** A new browser with a profile of its own. */
export function openBrowser(executablePath: string): Promise<Browser> {
  return chromium.launch({
    executablePath,
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** A visitor with a page of the example open; what the page complains of is gathered. */
export class Visitor {
  readonly complaints: string[] = [];

  private constructor(
    readonly page: Page,
    readonly origin: string,
  ) {}

  static async at(
    browser: Browser,
    origin: string,
    { javaScriptEnabled = true }: { javaScriptEnabled?: boolean } = {},
  ): Promise<Visitor> {
    const context = await browser.newContext({
      javaScriptEnabled,
      viewport: { width: 1280, height: 900 },
    });
    const visitor = new Visitor(await context.newPage(), origin);
    const { page, complaints } = visitor;
    page.setDefaultTimeout(20_000);
    // The first answer of a development server, which compiles for it.
    page.setDefaultNavigationTimeout(60_000);
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') {
        complaints.push(message.text());
      }
    });
    await visitor.open('/');
    return visitor;
  }

  async open(path: string): Promise<void> {
    await this.page.goto(this.origin + path);
  }

  async leave(): Promise<void> {
    await this.page.context().close();
  }

  /** The fields and the button beside the list, under one of the three headings. */
  async form(title: string): Promise<Locator> {
    const form = this.page.locator('details').filter({ hasText: title });
    if ((await form.getAttribute('open')) === null) await form.locator('summary').click();
    return form;
  }

  /** Fills in a form by its labels and submits it. */
  async submit(title: string, fields: Record<string, string>): Promise<Locator> {
    const form = await this.form(title);
    for (const [label, value] of Object.entries(fields)) {
      await form.getByLabel(label, { exact: true }).fill(value);
    }
    await form.getByRole('button').click();
    return form;
  }

  /** Adds a job by one of the forms; resolves to the id that the form answers with. */
  async add(title: string, fields: Record<string, string>): Promise<number> {
    const link = (await this.form(title)).getByRole('status').getByRole('link');
    const earlier = (await link.count()) > 0 ? await link.innerText() : 'none';
    await this.submit(title, fields);
    const answer = link.filter({ hasNotText: new RegExp(`^${earlier}$`) });
    return Number((await answer.innerText()).replace('job ', ''));
  }

  /** The line of the list that is about a job. */
  job(id: number): Locator {
    return this.page.locator(`[data-job="${id}"]`);
  }

  /** Waits until the page, which refreshes by itself, says so of a job. */
  async sees(id: number, text: string): Promise<void> {
    await this.job(id).getByText(text).first().waitFor();
  }

  /** How many jobs there are of a status, as the tab above the list has it. */
  async seesCount(status: string, count: number): Promise<void> {
    const tabs = this.page.getByRole('navigation', { name: 'Jobs by status' });
    await tabs.getByRole('link', { name: `${count} ${status}`, exact: true }).waitFor();
  }

  async screenshot(name: string): Promise<void> {
    mkdirSync(screenshots, { recursive: true });
    const path = join(screenshots, `${name}.png`);
    // A hidden caret would be a difference to what the server sent.
    await this.page.screenshot({ path, fullPage: true, caret: 'initial' });
  }
}
