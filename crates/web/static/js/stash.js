// Carries files that were dropped or pasted on any page to the page that uploads them, through the browser's own database.
const NAME = "corkboard-files";

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore("files", { autoIncrement: true });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function finished(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

export async function put(files) {
  const database = await open();
  const transaction = database.transaction("files", "readwrite");
  for (const file of files) transaction.objectStore("files").add(file);
  await finished(transaction);
  database.close();
}

/** Takes all files out. */
export async function take() {
  const database = await open();
  const transaction = database.transaction("files", "readwrite");
  const store = transaction.objectStore("files");
  const request = store.getAll();
  store.clear();
  await finished(transaction);
  database.close();
  return request.result ?? [];
}

export const pictures = (files) => [...(files ?? [])].filter((file) => /^image\/(jpeg|png|gif|webp)$/.test(file.type));
