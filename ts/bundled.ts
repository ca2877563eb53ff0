/** The package as bundlers get it: the same, but for the way to the addon. */
import { version } from '../package.json';
import { loadAddonWith } from './addon/native.js';
import { openAddon } from './addon/open.js';

loadAddonWith(() => openAddon(version));

export * from './face.js';
