/** The slice of the library that the classifier uses; it ships no types. */
declare module 'wink-naive-bayes-text-classifier' {
  /** With an empty list of preparatory tasks, texts are given as their words. */
  interface NaiveBayes {
    definePrepTasks(tasks: readonly []): number;
    learn(words: readonly string[], label: string): boolean;
    consolidate(): boolean;
    /** The best label, or `unknown` when no word was ever learned. */
    predict(words: readonly string[]): string;
  }
  export default function naiveBayes(): NaiveBayes;
}
