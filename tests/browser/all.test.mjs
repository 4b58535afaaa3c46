// Everything in one process, one after the other: one browser, one site per file, no two at once.
//
//   site.mjs        a private site: the binary of CORKBOARD_BIN on a free port with an empty data folder
//   browser.mjs     one browser; visitors with their own cookies, who watch the console, the policy and foreign requests
//   pictures.mjs    PNG files of a colour
//   steps.mjs       what people do, by the names that they read on the page
//
//   watchers.mjs    the watchers themselves, on pages that do everything wrong
//   story.mjs       sign up, upload, follow, feed, save, like, comment, search, delete and undo
//   scroll.mjs      an endless feed: nothing twice, Back keeps the place, the switch
//   keyboard.mjs    the keyboard alone
//   pages.mjs       every main page: light, dark, phone; axe-core, layout shift, console
//   plain.mjs       without JavaScript
import './watchers.mjs';
import './story.mjs';
import './scroll.mjs';
import './keyboard.mjs';
import './pages.mjs';
import './plain.mjs';
