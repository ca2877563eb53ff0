'use client';

/** What a visitor sees of an error that no page expected. */
export default function ErrorPage({ retry }: { retry: () => void }) {
  return (
    <section role="alert">
      <h1>Something went wrong</h1>
      <p>The log of the server says what.</p>
      <button type="button" onClick={retry}>
        Try again
      </button>
    </section>
  );
}
