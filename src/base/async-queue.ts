// A queue between a producer that pushes and one consumer that awaits: the seam between callbacks
// (sockets, event logs) and `for await`. Unbounded by itself; its producers are bounded.

export interface AsyncQueue<T> extends AsyncIterable<T> {
  push(item: T): void;
  /** The consumer gets what was pushed before, then the end. Later pushes are dropped. */
  end(): void;
}

export function createAsyncQueue<T>(): AsyncQueue<T> {
  let items: T[] = [];
  let ended = false;
  let wake: (() => void) | undefined;
  const signalWaiter = () => {
    wake?.();
    wake = undefined;
  };
  return {
    push(item) {
      if (ended) return;
      items.push(item);
      signalWaiter();
    },
    end() {
      ended = true;
      signalWaiter();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const batch = items;
        items = [];
        yield* batch;
        if (items.length > 0) continue;
        if (ended) return;
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}
