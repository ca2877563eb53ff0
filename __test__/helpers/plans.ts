/** The plans that a server really ran, the cached ones too: from its log, through `auto_explain`. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** Settings with which a server logs each statement with its plan, and what that came to. */
export const explainEverything = {
  session_preload_libraries: 'auto_explain',
  'auto_explain.log_min_duration': '0',
  'auto_explain.log_analyze': 'on',
  'auto_explain.log_buffers': 'on',
  'auto_explain.log_timing': 'off',
  'auto_explain.log_format': 'json',
  log_line_prefix: '@@%a@@',
};

/** A statement that ran, and what it did to one table. */
export interface Plan {
  sql: string;
  /** How the table was read: `Index Scan job_queue_pkey`. */
  scans: string[];
  /** Rows of the table that were looked at: those used, and those found not to fit. */
  rowsRead: number;
  rowsSorted: number;
  /** Pages, of everything, each counted whenever it was looked at. */
  buffers: number;
  /** Made for any parameters, not for those it ran with; only seen if the plan shows one. */
  isGeneric: boolean;
}

export class PlanLog {
  #position = 0;
  readonly #plans = new Map<string, Plan[]>();

  constructor(
    private readonly file: string,
    private readonly table: string,
  ) {}

  /** What connections of this `application_name` have run since the last time. */
  take(applicationName: string): Plan[] {
    for (const entry of this.#read().split(/^@@/m)) {
      const [, application, json] = /^(.*?)@@.*?plan:\s*({.*})\s*$/s.exec(entry) ?? [];
      if (application === undefined || json === undefined) continue;
      const plans = this.#plans.get(application) ?? [];
      this.#plans.set(application, [...plans, this.#summarise(JSON.parse(json))]);
    }
    const taken = this.#plans.get(applicationName) ?? [];
    this.#plans.delete(applicationName);
    return taken;
  }

  #read(): string {
    const file = openSync(this.file, 'r');
    try {
      const buffer = Buffer.alloc(fstatSync(file).size - this.#position);
      this.#position += readSync(file, buffer, 0, buffer.length, this.#position);
      return buffer.toString();
    } finally {
      closeSync(file);
    }
  }

  #summarise({ 'Query Text': sql, Plan: root }: { 'Query Text': string; Plan: Node }): Plan {
    const scans = new Set<string>();
    let [rowsRead, rowsSorted] = [0, 0];
    const visit = (node: Node): void => {
      const loops = node['Actual Loops'];
      const type = node['Node Type'];
      // A bitmap's index scan names the index only.
      if (node['Relation Name'] === this.table && type.includes('Scan')) {
        scans.add(`${type} ${node['Index Name'] ?? ''}`.trim());
        rowsRead += loops * (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0));
      }
      if (type.includes('Sort')) {
        for (const input of node.Plans ?? []) {
          rowsSorted += input['Actual Loops'] * input['Actual Rows'];
        }
      }
      node.Plans?.forEach(visit);
    };
    visit(root);
    return {
      sql,
      scans: [...scans].sort(),
      rowsRead: Math.round(rowsRead),
      rowsSorted: Math.round(rowsSorted),
      buffers: root['Shared Hit Blocks'] + root['Shared Read Blocks'],
      isGeneric: /\$\d/.test(JSON.stringify(root)),
    };
  }
}

interface Node {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  /** Per loop. */
  'Actual Rows': number;
  'Rows Removed by Filter'?: number;
  'Actual Loops': number;
  'Shared Hit Blocks': number;
  'Shared Read Blocks': number;
  Plans?: Node[];
}
