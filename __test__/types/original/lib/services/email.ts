/** Stands for the application's own module. */
export declare function sendEmail(to: string, subject: string, body: string): Promise<void>;
