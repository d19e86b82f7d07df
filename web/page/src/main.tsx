// Starts the page.

import { render } from 'preact';
import { App } from './app';
import { startKeyboard } from './keyboard';
import { navigate, startLocation, location } from './state/location';
import { startSession } from './state/session';
import './style/index.css';

startLocation();
if (location.value.path === '/') navigate('/explore', location.value.params, true);
startKeyboard();
const root = document.getElementById('app');
// The views ask for lines at once; who serves them comes when it comes.
void startSession();
if (root) render(<App />, root);
