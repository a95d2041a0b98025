// Makes one file of the SDK's build for browsers and of stream.mjs, which it hangs on `window.sdk`.

export default {
  build: {
    lib: { entry: 'stream.mjs', name: 'sdk', formats: ['iife'], fileName: () => 'sdk.js' },
  },
}
