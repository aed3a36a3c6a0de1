/** The sagas that texts are classified into, in the order in which they are listed everywhere. */
export const SAGAS = ['lord_of_the_rings', 'star_wars', 'harry_potter', 'dune'] as const;
export type Saga = (typeof SAGAS)[number];
