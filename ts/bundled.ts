/** The package as bundlers get it. Only the way to the addon is another. */
import { version } from '../package.json';
import { loadAddonWith } from './addon/native.js';
import { openAddon } from './addon/open.js';

loadAddonWith(() => openAddon(version));

export * from './face.js';
