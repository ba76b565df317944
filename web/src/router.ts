import { createRouter, createWebHistory, type RouteLocationRaw, type Router } from 'vue-router'
import { hasChosen, setLanguage } from '@/i18n'
import { useSession } from '@/stores/session'
// Not loaded when it is opened: it is where one looks when there is no network.
import MineView from '@/views/MineView.vue'
import OverviewView from '@/views/OverviewView.vue'
import LoginView from '@/views/LoginView.vue'

/** Another site sent the browser here, so that the session's cookie comes along only with what the page asks for now. */
async function entered(next: unknown): Promise<RouteLocationRaw> {
  const session = useSession()
  const again = typeof next === 'string' ? { next } : {}
  try {
    await session.restore(true)
  } catch {
    return { name: 'login', query: { fault: 'unavailable', ...again } }
  }
  if (!session.person) return { name: 'login', query: { fault: 'no_cookie', ...again } }
  if (!hasChosen()) setLanguage(session.person.language, false)
  return session.destination(next)
}

export function createAppRouter(): Router {
  const router = createRouter({
    history: createWebHistory(),
    routes: [
      { path: '/login', name: 'login', component: LoginView, meta: { open: true } },
      // Where the server leads to after a log-in at the provider; nothing is shown there.
      { path: '/entered', name: 'entered', component: LoginView, meta: { open: true } },
      { path: '/', name: 'overview', component: OverviewView },
      { path: '/mine', name: 'mine', component: MineView },
      { path: '/sites/:id(\\d+)', name: 'site', component: () => import('@/views/SiteView.vue') },
      { path: '/alerts/:id(\\d+)?', name: 'alerts', component: () => import('@/views/AlertsView.vue') },
      { path: '/rectifications', name: 'rectifications', component: () => import('@/views/RectificationsView.vue') },
      { path: '/rectifications/:id(\\d+)', name: 'rectification', component: () => import('@/views/RectificationView.vue') },
      { path: '/reports/:id(\\d+)?', name: 'reports', component: () => import('@/views/ReportsView.vue') },
      { path: '/inspections', name: 'inspections', component: () => import('@/views/InspectionsView.vue') },
      { path: '/inspections/:id(\\d+)', name: 'inspection', component: () => import('@/views/InspectionView.vue') },
      { path: '/devices/:id(\\d+)', name: 'history', component: () => import('@/views/HistoryView.vue') },
      { path: '/cameras/:id(\\d+)', name: 'camera', component: () => import('@/views/CameraView.vue') },
      { path: '/administration/:part?', name: 'administration', component: () => import('@/views/AdministrationView.vue') },
      { path: '/account', name: 'account', component: () => import('@/views/AccountView.vue') },
      { path: '/wall', name: 'wall', component: () => import('@/views/WallView.vue') },
      { path: '/system', name: 'system', component: () => import('@/views/SystemView.vue') },
      { path: '/:rest(.*)*', name: 'missing', component: () => import('@/views/MissingView.vue'), meta: { open: true } },
    ],
  })
  router.beforeEach(async (to) => {
    const session = useSession()
    if (to.name === 'entered') return entered(to.query.next)
    if (session.limited) void session.comeBack()
    if (!session.asked) {
      try {
        await session.restore()
      } catch {
        // The server cannot be asked now: the log-in says so itself when it is tried, the next move asks again.
      }
    }
    if (!session.loggedIn && !to.meta.open) {
      return { name: 'login', query: to.fullPath === '/' ? {} : { next: to.fullPath } }
    }
    if (session.loggedIn && to.name === 'login') return { name: session.home }
    return true
  })
  return router
}
