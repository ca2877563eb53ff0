import Link from 'next/link';

export default function NotFound() {
  return (
    <>
      <h1>There is no such page</h1>
      <p>
        A job that was completed long ago may have been cleaned up. <Link href="/">All jobs</Link>
      </p>
    </>
  );
}
