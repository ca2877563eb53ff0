/** Stands for the application's own module. */
export declare function generateReport(reportId: string, userId: string): Promise<void>;
