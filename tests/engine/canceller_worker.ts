import { listen } from "./canceller.ts";

listen();
