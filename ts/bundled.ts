/** The package as bundlers get it: the same, but for the way to the addon. */
import { version } from '../package.json';
import { openAddon } from './addon/open.js';
import { loadAddonWith } from './native.js';

loadAddonWith(() => openAddon(version));

export * from './face.js';
