/** Under `next dev`, where a visitor has no cron service at hand. */
export const isDevelopment = process.env.NODE_ENV === 'development';
