/** Certificates of a test's own. They are elliptic, which are made at once. */
import { generate, type SelfsignedOptions } from 'selfsigned';

/** PEM text. */
export interface Certificate {
  cert: string;
  key: string;
}

export interface CertificateOptions {
  /** Default: itself. */
  signedBy?: Certificate;
  /** Whether it may sign others. Default false. */
  isAuthority?: boolean;
  /** Host names and addresses that it is for, beside its common name. */
  hosts?: string[];
  /** Default: tomorrow. */
  expires?: Date;
}

const DAY = 24 * 60 * 60 * 1000;

export async function createCertificate(
  commonName: string,
  { signedBy, isAuthority = false, hosts = [], expires }: CertificateOptions = {},
): Promise<Certificate> {
  const names = hosts.map((host) =>
    /^[\d.]+$/.test(host) ? { type: 7 as const, ip: host } : { type: 2 as const, value: host },
  );
  const extensions: SelfsignedOptions['extensions'] = [
    { name: 'basicConstraints', cA: isAuthority, critical: true },
    ...(names.length > 0 ? [{ name: 'subjectAltName' as const, altNames: names }] : []),
  ];
  const { cert, private: key } = await generate([{ name: 'commonName', value: commonName }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate: new Date(Date.now() - 10 * DAY),
    notAfterDate: expires ?? new Date(Date.now() + DAY),
    extensions,
    ...(signedBy && { ca: signedBy }),
  });
  return { cert, key };
}
